//! The report as a page that a person can read, judge by and print.
//!
//! [`html`] makes the confidential page, [`public_html`] the one that may be published, from [`Report::public`] alone.
//! A page is one file without scripts that fetches nothing, which its content security policy also forbids. Every
//! string from outside is escaped; see [`markup`].
//!
//! What needs a person comes first: photos without a face, files that were not written, faces that were covered.

pub mod markup;
mod photo;
mod picture;
mod public;
mod run;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use self::markup::{Markup, escape};
use self::photo::Cards;
pub use self::public::public_html;
pub use self::run::models as models_table;
use super::{PhotoRecord, Report, SkippedRecord, Status, Summary, Verdict};
use crate::photo::Limits;
use crate::pool::Pool;

/// Looks of both pages.
const STYLE: &str = include_str!("page.css");
/// How many photos are shown with pictures and plots unless told otherwise: about 10 MB of page.
pub const DEFAULT_THUMBNAILS: usize = 200;
/// How many faces are linked under one reason; all are in their photos' records.
const MAX_LINKS: usize = 100;

/// What a page shows beyond the record.
#[derive(Clone, Debug)]
pub struct PageOptions<'a> {
    /// The folder of results, from which their pictures are read.
    pub out_dir: &'a Path,
    /// Whether to show the photos as they were, read from where the record says they are.
    pub include_originals: bool,
    /// How many photos to show with pictures and plots, those to look at first. Of the others the page has the
    /// figures.
    pub max_thumbnails: usize,
    /// The pool, for pictures of candidates.
    pub pool: Option<&'a Pool>,
    /// How large the pictures may be that are read.
    pub limits: Limits,
}

impl<'a> PageOptions<'a> {
    /// Results from `out_dir`, no originals, no candidates' pictures.
    pub fn new(out_dir: &'a Path) -> Self {
        Self {
            out_dir,
            include_originals: false,
            max_thumbnails: DEFAULT_THUMBNAILS,
            pool: None,
            limits: Limits::default(),
        }
    }
}

/// The confidential page of `report`.
///
/// Pictures are read one at a time; one that cannot be read is said in words, and nothing here fails.
pub fn html(report: &Report, options: &PageOptions) -> String {
    let mut page = Markup::default();
    page.raw(
        "<p class=\"stamp\">CONFIDENTIAL</p>\n<div class=\"banner\" role=\"note\"><p><strong>CONFIDENTIAL</strong> ",
    );
    page.raw("This page names files, shows pictures, and says which face took whose place: it helps to find out who ");
    page.raw("was on the photos. Keep it where the originals are kept, not with the results.");
    if options.include_originals {
        page.raw(" <strong>It contains original photos.</strong>");
    }
    page.raw("</p></div>\n<h1>What was done to these photos</h1>\n");
    summary(&mut page, report);
    let detailed = detailed(&report.photos, options.max_thumbnails);
    let mut cards = Cards::new(report, options);
    cards.attention(&mut page, &detailed);
    covered(&mut page, report);
    skipped(&mut page, &report.skipped);
    cards.photos(&mut page, &detailed);
    cards.finish(&mut page);
    run::timings(&mut page, report);
    run::models(&mut page, &report.models);
    run::configuration(&mut page, &report.config);
    run::footer(&mut page, &report.tool, &report.runtime, "The same figures and more are in report.json.");
    document("PerFace report - confidential", page)
}

/// `body` as a whole page.
pub fn document(title: &str, body: Markup) -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy =
        format!("default-src 'none'; img-src data:; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        escape(title),
        body.into_string()
    )
}

/// Which photos are shown with pictures: at most `most`, those to look at before the others.
fn detailed(photos: &[PhotoRecord], most: usize) -> HashSet<usize> {
    let urgency = |photo: &PhotoRecord| match photo.status {
        Status::NoFace => 0,
        Status::Dropped => 1,
        Status::Done if photo.faces.iter().any(|face| face.verdict == Verdict::Kept) => 2,
        Status::Done if photo.faces.iter().any(|face| face.verdict == Verdict::Obscured) => 3,
        Status::Done => 4,
        Status::Unreadable => 5,
    };
    let mut order: Vec<(usize, usize)> = photos.iter().map(urgency).zip(0..).collect();
    order.sort_unstable();
    order.into_iter().filter(|(urgency, _)| *urgency < 5).take(most).map(|(_, index)| index).collect()
}

/// `n` things, in words.
fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn summary(page: &mut Markup, report: &Report) {
    let s = &report.summary;
    page.raw("<p>").text(&count(s.photos, "file was", "files were")).raw(" given and ");
    page.text(&count(s.faces, "face", "faces")).raw(" found: ").text(&s.replaced.to_string());
    page.raw(" replaced by another face, ").text(&s.obscured.to_string());
    page.raw(" covered with a solid fill, ").text(&s.kept.to_string()).raw(" left as on the photo.</p>\n");
    tiles(page, s);
    page.raw("<h2>What to do next</h2>\n<ol class=\"todo\">\n");
    let written = report.photos.iter().filter(|p| p.status == Status::NoFace && p.output.is_some()).count();
    if s.no_face > 0 {
        page.raw("<li><a href=\"#no-face\">Look at ").text(&count(s.no_face, "photo", "photos"));
        page.raw(" in which no face was found.</a> A face may have been missed. ");
        match written {
            0 => page.raw("None of them was written."),
            _ => page.text(&count(written, "was", "were")).raw(" written unchanged."),
        };
        page.raw("</li>\n");
    }
    if s.unreadable + s.dropped > 0 {
        page.raw("<li><a href=\"#not-written\">See why ").text(&count(s.unreadable + s.dropped, "file", "files"));
        page.raw(" gave no result.</a> Nothing was written for them.</li>\n");
    }
    if !report.skipped.is_empty() {
        page.raw("<li><a href=\"#skipped\">See which ");
        page.text(&count(report.skipped.len(), "file or folder was", "files and folders were"));
        page.raw(" passed over.</a> Nothing was read or written for them; films and raw files may show people.</li>\n");
    }
    if s.kept > 0 {
        page.raw("<li><a href=\"#kept\">Check the ").text(&count(s.kept, "face", "faces"));
        page.raw(" left as on the photo.</a> They can be recognised; make sure that everybody shown agreed.</li>\n");
    }
    if s.obscured > 0 {
        page.raw("<li><a href=\"#covered\">See why ").text(&count(s.obscured, "face was", "faces were"));
        page.raw(" covered.</a> A covered face is safe; nothing needs to be done unless it looks out of place.</li>\n");
    }
    page.raw("<li>Look at every result before it is published. No detector finds every face, and people can also be ");
    page.raw("known by their clothes, their company or the place.</li>\n</ol>\n");
}

/// The counts, large. What a person should look at is marked, in words too: see the list after it.
fn tiles(page: &mut Markup, s: &Summary) {
    page.raw("<ul class=\"counts\">\n");
    for (n, what, look) in [
        (s.photos, "files", false),
        (s.faces, "faces", false),
        (s.replaced, "replaced", false),
        (s.obscured, "covered", false),
        (s.kept, "left as they were", true),
        (s.no_face, "photos without a face", true),
        (s.dropped, "photos held back", true),
        (s.unreadable, "files that failed", true),
    ] {
        page.raw(if look && n > 0 { "<li class=\"look\"><b>" } else { "<li><b>" });
        page.text(&n.to_string()).raw("</b>").raw(what).raw("</li>\n");
    }
    page.raw("</ul>\n");
}

/// Covered faces by reason, and kept ones.
fn covered(page: &mut Markup, report: &Report) {
    let faces_of = |verdict: Verdict| {
        let mut by_reason: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for (index, photo) in report.photos.iter().enumerate() {
            for (nth, face) in photo.faces.iter().enumerate().filter(|(_, face)| face.verdict == verdict) {
                by_reason.entry(face.reason.as_deref().unwrap_or("no reason given")).or_default().push((index, nth));
            }
        }
        by_reason
    };
    for (verdict, heading) in [
        (Verdict::Obscured, "<h2 id=\"covered\">Faces that were covered, and why</h2>\n"),
        (Verdict::Kept, "<h2 id=\"kept\">Faces left as on the photo, and why</h2>\n"),
    ] {
        let by_reason = faces_of(verdict);
        if !by_reason.is_empty() {
            page.raw(heading);
        }
        for (reason, faces) in by_reason {
            page.raw("<h4>").name(reason).raw(": ").text(&count(faces.len(), "face", "faces")).raw("</h4>\n<p>");
            links(page, report, &faces);
            page.raw("</p>\n");
        }
    }
}

/// Files and folders that were passed over, by reason.
fn skipped(page: &mut Markup, skipped: &[SkippedRecord]) {
    if skipped.is_empty() {
        return;
    }
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in skipped {
        by_reason.entry(&record.reason).or_default().push(&record.path);
    }
    page.raw("<h2 id=\"skipped\">Files that were passed over</h2>\n");
    for (reason, paths) in by_reason {
        page.raw("<h4>").name(reason).raw(": ").text(&paths.len().to_string()).raw("</h4>\n<p>");
        for (place, path) in paths.iter().take(MAX_LINKS).enumerate() {
            page.raw(if place > 0 { "; " } else { "" }).name(path);
        }
        if let Some(more) = paths.len().checked_sub(MAX_LINKS).filter(|more| *more > 0) {
            page.raw("; and ").text(&more.to_string()).raw(" more, named in report.json");
        }
        page.raw("</p>\n");
    }
}

/// Links to `faces`, each by its photo's place and its own, photo by photo.
fn links(page: &mut Markup, report: &Report, faces: &[(usize, usize)]) {
    let shown = faces.get(..MAX_LINKS.min(faces.len())).unwrap_or_default();
    for (place, of_photo) in shown.chunk_by(|a, b| a.0 == b.0).enumerate() {
        let Some((index, _)) = of_photo.first() else { continue };
        let Some(photo) = report.photos.get(*index) else { continue };
        let numbers: Vec<String> = of_photo.iter().map(|(_, nth)| (nth + 1).to_string()).collect();
        page.raw(if place > 0 { "; " } else { "" });
        page.raw("<a").attribute("href", &format!("#p{index}")).raw(">").name(&photo.input).raw("</a> ");
        page.raw(if numbers.len() == 1 { "face " } else { "faces " }).text(&numbers.join(", "));
    }
    if faces.len() > shown.len() {
        page.raw("; and ").text(&(faces.len() - shown.len()).to_string()).raw(" more, marked with their photos");
    }
}

#[cfg(test)]
mod tests;
