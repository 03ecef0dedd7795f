//! The audit as a page: the verdict, who the attacker is, every figure, and what none of it shows.

use super::recognition::BARS;
use super::verdict::figures;
use super::{Audit, Recognition};
use perface::report::html::markup::Markup;
use perface::report::html::{document, models_table};

/// The page of `audit`; with `names`, files are named, and the page is as confidential as the originals.
pub fn html(audit: &Audit, names: bool) -> String {
    let mut page = Markup::default();
    page.raw("<h1>Can the faces in these photos be matched again?</h1>\n");
    verdict(&mut page, audit);
    page.raw("<h2>The attacker</h2>\n<p>Everything below is about an attacker who</p>\n<ul>\n");
    for what in &audit.attacker {
        page.raw("<li>").text(what).raw(".</li>\n");
    }
    page.raw("</ul>\n<h2>What this does not show</h2>\n<ul>\n");
    for what in &audit.limits {
        page.raw("<li>").text(what).raw("</li>\n");
    }
    page.raw("</ul>\n");
    for recognition in &audit.recognition {
        recogniser(&mut page, recognition);
    }
    kept(&mut page, audit);
    if names {
        named(&mut page, audit);
    }
    models_table(&mut page, &audit.models);
    page.raw("<footer><p>Made by ").text(&audit.tool).raw(", networks run by ").text(&audit.runtime);
    page.raw(". Intervals are Wilson's, 95 %.</p></footer>\n");
    document("PerFace audit", page)
}

fn verdict(page: &mut Markup, audit: &Audit) {
    let f = &audit.faces;
    page.raw("<div class=\"banner\" role=\"note\"><p><strong>");
    page.raw(if audit.passed { "PASSED" } else { "FAILED" }).raw("</strong> ");
    page.raw(if audit.passed {
        "All of the following held. It is a statement about these tests and no others."
    } else {
        "At least one of the following did not hold. Do not publish these photos as they are."
    });
    page.raw("</p></div>\n<table><thead><tr><th>Asked</th><th>Found</th><th></th></tr></thead><tbody>\n");
    for gate in &audit.gates {
        page.raw("<tr>").cell("Asked", &gate.asked).cell("Found", &gate.found);
        page.raw(if gate.passed { "<td>pass</td></tr>\n" } else { "<td><strong>FAIL</strong></td></tr>\n" });
    }
    page.raw("</tbody></table>\n<p>");
    let faces = [
        (f.originals, "faces of originals"),
        (audit.people, if audit.people_named { "people" } else { "people, counting each face" }),
        (f.replaced, "replaced by another face"),
        (f.gone, "without a face in their place"),
        (f.kept, "left on purpose"),
        (f.untouched, "untouched though not named"),
    ];
    page.raw("</p><ul class=\"counts\">\n");
    for (n, what) in faces {
        page.raw("<li><b>").text(&n.to_string()).raw("</b>").text(what).raw("</li>\n");
    }
    page.raw("</ul>\n<ul>\n");
    for warning in &audit.warnings {
        page.raw("<li>").text(warning).raw("</li>\n");
    }
    page.raw("</ul>\n");
}

fn recogniser(page: &mut Markup, recognition: &Recognition) {
    page.raw("<h2>").name(&recognition.similarity).raw("</h2>\n");
    page.plot(&histogram(recognition));
    page.raw("<table><thead><tr><th>What</th><th class=\"figure\">Found</th></tr></thead><tbody>\n");
    for (what, value) in figures(recognition) {
        page.raw("<tr>").cell("What", &what).raw("<td class=\"figure\" data-label=\"Found\">").text(&value);
        page.raw("</td></tr>\n");
    }
    page.raw("</tbody></table>\n");
}

/// Cosines of results with their own originals as bars, with those of other people as a line, each to its own scale.
fn histogram(recognition: &Recognition) -> String {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 160.0;
    const BASE: f64 = 130.0;
    // Cosines below −0.5 do not occur.
    let first = BARS / 4;
    let shown = BARS - first;
    let x = |bar: usize| WIDTH * (bar.saturating_sub(first)) as f64 / shown as f64;
    let [own, others] = &recognition.matching.histogram;
    let highest = |bars: &[u64]| bars.iter().copied().max().unwrap_or(0).max(1) as f64;
    let height = |count: u64, most: f64| (BASE - 14.0) * count as f64 / most;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" width=\"100%\" aria-label=\"cosines of results with their \
         own originals, as bars, and with other people, as a line\" font-size=\"12\">"
    );
    for (bar, &count) in own.iter().enumerate().skip(first).filter(|(_, count)| **count > 0) {
        let h = height(count, highest(own));
        svg += &format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{h:.1}\" fill=\"#d55e00\"/>",
            x(bar) + 0.5,
            BASE - h,
            WIDTH / shown as f64 - 1.0
        );
    }
    let points: Vec<String> = others
        .iter()
        .enumerate()
        .skip(first)
        .map(|(bar, &count)| {
            format!("{:.1},{:.1}", x(bar) + WIDTH / shown as f64 / 2.0, BASE - height(count, highest(others)))
        })
        .collect();
    svg += &format!("<polyline points=\"{}\" fill=\"none\" stroke=\"#0072b2\" stroke-width=\"2\"/>", points.join(" "));
    let at = |cosine: f64| WIDTH * (cosine + 0.5) / 1.5;
    if let Some(threshold) = recognition.same_person_cosine {
        let x = at(f64::from(threshold));
        svg += &format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"4\" y2=\"{BASE}\" stroke=\"currentColor\" stroke-dasharray=\"4 3\"/>\
             <text x=\"{:.1}\" y=\"14\" fill=\"currentColor\">same person from here</text>",
            x + 4.0
        );
    }
    for tick in [-0.5, 0.0, 0.5, 1.0] {
        let anchor = if tick < -0.4 {
            "start"
        } else if tick > 0.9 {
            "end"
        } else {
            "middle"
        };
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\" fill=\"currentColor\">{tick}</text>",
            at(tick),
            BASE + 14.0
        );
    }
    svg += &format!(
        "<text x=\"0\" y=\"{:.0}\" fill=\"#d55e00\">bars: results with their own originals</text>\
         <text x=\"{WIDTH}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#0072b2\">line: with other people</text></svg>\n",
        HEIGHT - 2.0,
        HEIGHT - 2.0
    );
    svg
}

fn kept(page: &mut Markup, audit: &Audit) {
    let u = &audit.utility;
    if u.faces == 0 {
        return;
    }
    page.raw("<h2>What replaced faces keep</h2>\n<p>Measured on ").text(&u.faces.to_string());
    page.raw(" faces. Smaller is closer to the original.</p>\n<table><thead><tr><th>Change of</th>");
    page.raw("<th class=\"figure\">Median</th><th class=\"figure\">Nine of ten below</th></tr></thead><tbody>\n");
    for (name, changed) in &u.changed {
        let (what, digits) = match *name {
            "landmarks" => ("place of eyes, nose and mouth, in distances of the eyes", 3),
            "pose_degrees" => ("where the face looks, degrees", 1),
            "mouth" => ("opening of the mouth, in widths of it", 3),
            "eyes" => ("opening of the eyes, in widths of one", 3),
            _ => ("colour, ΔE*ab", 1),
        };
        page.raw("<tr>").cell("Change of", what);
        page.raw("<td class=\"figure\" data-label=\"Median\">").text(&format!("{:.digits$}", changed.median));
        page.raw("</td><td class=\"figure\" data-label=\"Nine of ten below\">");
        page.text(&format!("{:.digits$}", changed.p90)).raw("</td></tr>\n");
    }
    page.raw("</tbody></table>\n");
    if let Some([before, after]) = u.score {
        page.raw("<p>Median score of the face detector: ").text(&format!("{before:.3} before, {after:.3} after."));
        page.raw("</p>\n");
    }
    let [lossless, changed] = u.lossless;
    if lossless > 0 {
        page.raw("<p>Of ").text(&lossless.to_string()).raw(" outputs stored without loss, ");
        page.text(&changed.to_string()).raw(" have a changed pixel outside all heads.</p>\n");
    }
}

fn named(page: &mut Markup, audit: &Audit) {
    page.raw(
        "<h2>Results most like their originals</h2>\n<table><thead><tr><th>File</th><th>Face</th><th>Network</th>",
    );
    page.raw("<th class=\"figure\">Cosine</th><th class=\"figure\">Place</th></tr></thead><tbody>\n");
    for alike in &audit.most_alike {
        page.raw("<tr>").cell("File", &alike.file).cell("Face", &alike.face.to_string()).cell("Network", &alike.model);
        page.raw("<td class=\"figure\" data-label=\"Cosine\">").text(&format!("{:.3}", alike.cosine));
        page.raw("</td><td class=\"figure\" data-label=\"Place\">").text(&alike.rank.to_string()).raw("</td></tr>\n");
    }
    page.raw("</tbody></table>\n");
    if !audit.missed.is_empty() {
        page.raw("<h2>Faces that may have been left as they were</h2>\n<table><thead><tr><th>File</th><th>Where</th>");
        page.raw("<th class=\"figure\">Score</th></tr></thead><tbody>\n");
        for missed in audit.missed.iter().take(200) {
            let b = missed.box_px;
            let place = format!("{:.0}, {:.0}, {:.0} × {:.0} px", b.left, b.top, b.width(), b.height());
            page.raw("<tr>").cell("File", &missed.file).cell("Where", &place);
            page.raw("<td class=\"figure\" data-label=\"Score\">").text(&format!("{:.2}", missed.score));
            page.raw("</td></tr>\n");
        }
        page.raw("</tbody></table>\n");
    }
    let lists = audit.metadata.iter().map(|(kind, files)| (format!("Files with {}", kind.name()), files.clone()));
    let without: Vec<String> = audit.files.without_output.iter().map(|(file, why)| format!("{file}: {why}")).collect();
    let lists = lists.chain([
        ("Originals without an output".to_owned(), without),
        ("Not readable".to_owned(), audit.files.unreadable.clone()),
    ]);
    for (heading, files) in lists.filter(|(_, files)| !files.is_empty()) {
        page.raw("<h2>").text(&heading).raw("</h2>\n<ul>\n");
        for file in files.iter().take(200) {
            page.raw("<li>").name(file).raw("</li>\n");
        }
        page.raw("</ul>\n");
    }
}
