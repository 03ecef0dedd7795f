use std::collections::BTreeMap;
use std::path::Path;

use image::{Rgb, RgbImage};

use super::*;
use crate::detect::Face;
use crate::geometry::{Point, Rect};
use crate::model::card::Role;
use crate::report::{
    FaceRecord, GroupRecord, ModelRecord, PeopleSummary, RankedRecord, SCHEMA, SkippedRecord, total_timings,
};
use crate::tree::UNSUPPORTED;

/// Every text in the record is one of these, so that whatever leaks is seen.
const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}";

fn face(verdict: Verdict) -> FaceRecord {
    let group = |name: &str, mean: f64| GroupRecord {
        name: name.to_owned(),
        distance: mean + 0.02,
        mean,
        ci_upper: Some(mean + 0.02),
        n: 24,
    };
    let ranked = |n: usize| RankedRecord { candidate: format!("young-female-{n:03}"), cosine: 0.3 - 0.1 * n as f32 };
    let found = Face {
        box_px: Rect::from_xywh(20.0, 10.0, 30.0, 40.0),
        score: 0.91,
        landmarks_px: [Point::new(30.0, 20.0); 5],
    };
    FaceRecord {
        p_male: Some(0.1),
        age_years: Some(31.0),
        groups: vec![
            group("young-male", 0.92),
            group("young-female", 0.85),
            group("older-male", 0.95),
            group("older-female", 0.9),
        ],
        chosen_group: Some("young-female".to_owned()),
        grouped_by: Some("similarity".to_owned()),
        ranking: (0..7).map(ranked).collect(),
        candidate: (verdict == Verdict::Replaced).then(|| "young-female-005".to_owned()),
        similarity_before: Some(-0.21),
        similarity_after: Some(0.12),
        similarities_after: BTreeMap::from([("sface".to_owned(), 0.12), ("other".to_owned(), 0.2)]),
        ranks_after: BTreeMap::from([("sface".to_owned(), 9)]),
        landmarks_error: Some(0.04),
        tone_step: Some(2.5),
        ita_deg: Some(31.0),
        candidate_ita_deg: Some(40.0),
        unfitting_tones: 2,
        chosen_by: Some("best of 3 that passed, 5 tried".to_owned()),
        tries: 1,
        reason: match verdict {
            Verdict::Replaced => None,
            Verdict::Obscured => Some("no candidate hid it well enough".to_owned()),
            Verdict::Kept => Some("named to be kept".to_owned()),
        },
        ..FaceRecord::of(&found, verdict)
    }
}

fn photo(name: &str, status: Status, faces: Vec<FaceRecord>) -> PhotoRecord {
    PhotoRecord {
        input: format!("in/{name}"),
        output: (status == Status::Done).then(|| name.to_owned()),
        status,
        notes: Vec::new(),
        size_px: Some([120, 80]),
        faces,
        timings_ms: BTreeMap::from([("detect".to_owned(), 30.0), ("swap".to_owned(), 90.0)]),
    }
}

fn report(photos: Vec<PhotoRecord>) -> Report {
    Report {
        schema: SCHEMA,
        tool: "perface 0.1.0".to_owned(),
        runtime: "rten".to_owned(),
        config: serde_json::json!({
            "engine": "warp", "similarity": "SFace identity cosine", "same_person_cosine": 0.363, "seed": "0xsecret",
            "group_distance": "mean-ci-upper",
        }),
        models: vec![ModelRecord {
            name: "sface".to_owned(),
            sha256: "ab".repeat(32),
            licence: "Apache-2.0".to_owned(),
            role: Role::Embedder,
        }],
        summary: Summary::of(&photos),
        people: PeopleSummary::of(&photos),
        timings_ms: total_timings(&photos),
        skipped: vec![SkippedRecord { path: "in/<film>.mov".to_owned(), reason: UNSUPPORTED.to_owned() }],
        photos,
    }
}

fn mixed() -> Report {
    let mut unreadable = photo("broken.jpg", Status::Unreadable, Vec::new());
    unreadable.notes.push("broken.jpg: the JPEG is cut off".to_owned());
    report(vec![
        photo("good.jpg", Status::Done, vec![face(Verdict::Replaced), face(Verdict::Obscured)]),
        photo("kept.jpg", Status::Done, vec![face(Verdict::Kept)]),
        unreadable,
        photo("held.jpg", Status::Dropped, vec![face(Verdict::Obscured)]),
        photo("empty.jpg", Status::NoFace, Vec::new()),
    ])
}

fn shown(report: &Report) -> String {
    let folder = tempfile::tempdir().unwrap();
    html(report, &PageOptions::new(folder.path()))
}

/// Write to the folder named by `PERFACE_PLOTS`, to be looked at.
fn show(name: &str, page: &str) {
    if let Some(folder) = std::env::var_os("PERFACE_PLOTS") {
        std::fs::write(Path::new(&folder).join(name), page).unwrap();
    }
}

fn save(folder: &Path, name: &str, colour: [u8; 3]) {
    RgbImage::from_fn(120, 80, |x, _| if x < 60 { Rgb(colour) } else { Rgb([200; 3]) })
        .save(folder.join(name))
        .unwrap();
}

/// Start tags, to see that they are balanced and known.
fn tags(page: &str, tag: &str) -> (usize, usize) {
    let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
    (opened, page.matches(&format!("</{tag}>")).count())
}

#[test]
fn what_needs_a_person_comes_first() {
    let page = shown(&mixed());
    let places: Vec<usize> = [
        "CONFIDENTIAL",
        "What to do next",
        "id=\"no-face\"",
        "id=\"not-written\"",
        "id=\"covered\"",
        "id=\"kept\"",
        "id=\"photos\"",
        "id=\"time\"",
        "id=\"models\"",
        "id=\"options\"",
    ]
    .iter()
    .map(|mark| page.find(mark).unwrap_or_else(|| panic!("{mark}")))
    .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn hostile_names_are_shown_and_never_obeyed() {
    let hostile = || HOSTILE.to_owned();
    let mut report = mixed();
    report.tool = hostile();
    report.runtime = hostile();
    report.config = serde_json::json!({ HOSTILE: HOSTILE, "similarity": HOSTILE, "group_distance": HOSTILE });
    report.timings_ms = BTreeMap::from([(hostile(), 5.0)]);
    for model in &mut report.models {
        (model.name, model.sha256, model.licence) = (hostile(), hostile(), hostile());
    }
    for photo in &mut report.photos {
        photo.input = hostile();
        photo.output = photo.output.as_ref().map(|_| hostile());
        photo.notes.push(hostile());
        for (nth, face) in photo.faces.iter_mut().enumerate() {
            face.chosen_group = Some(hostile());
            face.grouped_by = Some(hostile());
            face.candidate = Some(hostile());
            face.reason = Some(hostile());
            face.ranking.iter_mut().for_each(|ranked| ranked.candidate = hostile());
            if nth == 0 {
                face.groups.iter_mut().for_each(|group| group.name = hostile());
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let few = PageOptions { max_thumbnails: 1, include_originals: true, ..PageOptions::new(folder.path()) };
    for page in [html(&report, &PageOptions::new(folder.path())), html(&report, &few), public_html(&report)] {
        assert!(!page.contains("<script"), "markup from a name");
        assert!(!page.contains('\u{202e}'), "a name turns the text after it");
        assert!(!page.contains("alert(1)</"), "a name ends an element");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\\u{202e}"));
    }
}

#[test]
fn a_page_fetches_nothing_and_says_so() {
    for page in [shown(&mixed()), public_html(&mixed())] {
        assert!(page.contains("default-src 'none'; img-src data:; style-src 'sha256-"));
        let without_names = page.replace("http://www.w3.org/2000/svg", "");
        for mark in
            ["http:", "https:", "src=", "url(", "@import", "<link", "<script", "<iframe", " style=", "javascript:"]
        {
            assert!(!without_names.contains(mark), "{mark}");
        }
    }
}

#[test]
fn every_element_is_closed() {
    for page in [shown(&mixed()), public_html(&mixed())] {
        for tag in [
            "div", "p", "table", "tbody", "thead", "tr", "td", "th", "article", "figure", "ul", "ol", "li", "svg",
            "bdi", "a", "h2", "h3", "h4", "body",
        ] {
            let (opened, closed) = tags(&page, tag);
            assert_eq!(opened, closed, "{tag}");
        }
    }
}

#[test]
fn every_link_leads_to_a_place_that_exists_once() {
    let page = shown(&mixed());
    let links: Vec<&str> = page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.len() > 5);
    for link in links {
        assert_eq!(page.matches(&format!("id=\"{link}\"")).count(), 1, "{link}");
    }
}

#[test]
fn similarity_has_the_networks_own_name() {
    let page = shown(&mixed());
    assert!(page.contains("SFace identity cosine"));
    assert!(!page.to_lowercase().contains("perceptual"));
    assert!(page.contains("−0.210") && page.contains("0.120"));
    assert!(page.contains("Distance to each group"), "the plot");
}

#[test]
fn a_result_still_taken_for_the_same_person_is_marked() {
    let mut report = mixed();
    assert!(!shown(&report).contains("same person</td>"));
    report.photos[0].faces[0].similarity_after = Some(0.4);
    assert!(shown(&report).contains("0.400 same person</td>"));
}

#[test]
fn originals_are_shown_only_if_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "good.png", [10, 200, 10]);
    save(folder.path(), "original.png", [200, 10, 10]);
    let mut report = report(vec![photo("good.png", Status::Done, vec![face(Verdict::Replaced)])]);
    report.photos[0].input = folder.path().join("original.png").to_string_lossy().into_owned();
    let options = PageOptions::new(folder.path());
    let without = html(&report, &options);
    let with = html(&report, &PageOptions { include_originals: true, ..options });
    show("report_small.html", &with);
    let pictures = |page: &str| page.matches("data:image/jpeg;base64,").count();
    assert_eq!((pictures(&without), pictures(&with)), (1, 2));
    assert!(!without.contains("It contains original photos") && with.contains("It contains original photos"));
}

#[test]
fn a_picture_that_cannot_be_read_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.jpg"), b"no picture").unwrap();
    let page = html(&mixed(), &PageOptions::new(folder.path()));
    assert_eq!(page.matches("No picture: ").count(), 2, "one is broken, one is not there");
}

#[test]
fn no_file_outside_the_results_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    save(folder.path(), "secret.png", [1, 2, 3]);
    let absolute = folder.path().join("secret.png").to_string_lossy().into_owned();
    for output in ["../secret.png".to_owned(), absolute] {
        let mut report = report(vec![photo("good.png", Status::Done, vec![face(Verdict::Replaced)])]);
        report.photos[0].output = Some(output);
        let page = html(&report, &PageOptions::new(&out));
        assert!(!page.contains("data:image") && page.contains("leads out of the folder"));
    }
}

#[test]
fn a_large_run_stays_small_and_complete() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "same.png", [10, 200, 10]);
    let mut photos: Vec<PhotoRecord> = (0..10_000)
        .map(|nth| {
            let mut photo = photo("same.png", Status::Done, vec![face(Verdict::Replaced), face(Verdict::Replaced)]);
            photo.input = format!("in/{nth:05}.png");
            photo
        })
        .collect();
    photos[9_999].faces[1] = face(Verdict::Obscured);
    let page = html(&report(photos), &PageOptions { max_thumbnails: 50, ..PageOptions::new(folder.path()) });
    assert!(page.len() < 12 << 20, "{} bytes", page.len());
    assert_eq!(page.matches("data:image").count(), 50);
    assert!((0..10_000).all(|nth| page.contains(&format!("id=\"p{nth}\""))));
    assert!(page.contains("50 photos are shown with pictures") && page.contains("The other 9950 "));
    let first = page.split("<article").nth(1).unwrap();
    assert!(first.contains("in/09999.png") || page.contains("id=\"p9999\"><h3>"), "the covered one has a card");
}

#[test]
fn the_public_page_names_nobody_and_nothing() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "good.jpg", [9; 3]);
    let page = public_html(&mixed());
    show("report_public.html", &page);
    let secrets = [
        "good.jpg",
        "kept.jpg",
        "broken",
        "held.jpg",
        "empty.jpg",
        "in/",
        "film",
        "0xsecret",
        "young",
        "0.210",
        "0.120",
        "data:image",
    ];
    for secret in secrets {
        assert!(!page.replace("img-src data:", "").contains(secret), "{secret}");
    }
    assert!(!page.contains("CONFIDENTIAL"));
    assert!(page.contains("SFace identity cosine") && page.contains("no candidate hid it well enough"));
}

#[test]
fn what_was_passed_over_is_named() {
    let page = shown(&report(Vec::new()));
    assert!(page.contains("id=\"skipped\"") && page.contains("in/&lt;film&gt;.mov") && page.contains(UNSUPPORTED));
}

#[test]
fn an_empty_report_is_a_page() {
    let page = shown(&report(Vec::new()));
    assert!(page.contains("0 files were given"));
    let options = serde_json::Value::Null;
    let bare = Report { config: options, models: Vec::new(), ..report(Vec::new()) };
    assert!(shown(&bare).ends_with("</html>\n"));
    assert!(public_html(&bare).ends_with("</html>\n"));
}

#[test]
fn nonsense_figures_leave_no_nonsense() {
    let mut report = mixed();
    for face in report.photos.iter_mut().flat_map(|photo| &mut photo.faces) {
        face.box_px = Rect::from_ltrb(f32::NAN, f32::NEG_INFINITY, 1e30, f32::INFINITY);
        face.groups.iter_mut().for_each(|group| group.mean = f64::NAN);
    }
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "good.jpg", [9; 3]);
    let page = html(&report, &PageOptions::new(folder.path()));
    for attribute in ["x=\"NaN", "y=\"NaN", "width=\"NaN", "width=\"inf", "x=\"inf"] {
        assert!(!page.contains(attribute), "{attribute}");
    }
}
