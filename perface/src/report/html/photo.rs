//! Photos on the page: those to look at, then one after the other, with their faces.

use std::collections::HashSet;

use super::PageOptions;
use super::markup::Markup;
use super::picture::Pictures;
use crate::group::{GroupChoice, GroupDistanceRow};
use crate::plot;
use crate::report::{FaceRecord, PhotoRecord, RankedRecord, Report, Status, Verdict};

/// How many faces are shown with a plot or a ranking, over all photos: at about 5 kB each.
const MAX_PLOTS: usize = 2000;

/// Writes the photos of one report.
pub struct Cards<'a> {
    report: &'a Report,
    options: &'a PageOptions<'a>,
    pictures: Pictures<'a>,
    /// What the network calls its similarity, never more than it is.
    similarity: String,
    definition: String,
    plots_left: usize,
}

impl<'a> Cards<'a> {
    /// Of `report`.
    pub fn new(report: &'a Report, options: &'a PageOptions<'a>) -> Self {
        let setting = |key: &str| report.config.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        Self {
            report,
            options,
            pictures: Pictures::new(options),
            similarity: setting("similarity").unwrap_or_else(|| "cosine".to_owned()),
            definition: setting("group_distance").unwrap_or_else(|| "distance".to_owned()),
            plots_left: MAX_PLOTS,
        }
    }

    /// Photos without a face, then files for which nothing was written.
    pub fn attention(&mut self, page: &mut Markup, detailed: &HashSet<usize>) {
        let photos = || self.report.photos.iter().enumerate();
        let no_face: Vec<_> = photos().filter(|(_, photo)| photo.status == Status::NoFace).collect();
        let refused = |photo: &PhotoRecord| matches!(photo.status, Status::Unreadable | Status::Dropped);
        let refused: Vec<_> = photos().filter(|(_, photo)| refused(photo)).collect();
        if !no_face.is_empty() {
            page.raw("<h2 id=\"no-face\">Photos in which no face was found</h2>\n<p>Look at each one. If there is a ");
            page.raw("face on it, the photo must not be published as it is.");
            if !self.options.include_originals && no_face.iter().any(|(_, photo)| photo.output.is_none()) {
                page.raw(" Those that were not written are not shown here, because this page holds no originals; ");
                page.raw("open the files themselves.");
            }
            page.raw("</p>\n");
        }
        for (index, photo) in no_face {
            self.card(page, index, photo, detailed.contains(&index), true);
        }
        if !refused.is_empty() {
            page.raw("<h2 id=\"not-written\">Files that gave no result</h2>\n<p>Nothing was written for these.</p>\n");
            page.raw("<table><thead><tr><th>File</th><th>What happened</th><th>Why</th></tr></thead><tbody>\n");
            for (index, photo) in refused {
                page.raw("<tr");
                // A photo held back has a card of its own further down.
                if photo.status == Status::Unreadable {
                    page.attribute("id", &format!("p{index}"));
                }
                page.raw(">").cell("File", &photo.input).cell("What happened", status(photo));
                page.cell("Why", &photo.notes.join("; ")).raw("</tr>\n");
            }
            page.raw("</tbody></table>\n");
        }
    }

    /// All photos with faces: those in `detailed` with pictures, the others as rows.
    pub fn photos(&mut self, page: &mut Markup, detailed: &HashSet<usize>) {
        let has_card = |photo: &PhotoRecord| matches!(photo.status, Status::Done | Status::Dropped);
        let photos: Vec<_> = self.report.photos.iter().enumerate().filter(|(_, photo)| has_card(photo)).collect();
        if photos.is_empty() {
            return;
        }
        page.raw("<h2 id=\"photos\">Photos, one by one</h2>\n");
        self.explain(page);
        let (shown, rest): (Vec<_>, Vec<_>) = photos.into_iter().partition(|(index, _)| detailed.contains(index));
        if !rest.is_empty() {
            page.raw("<p>").text(&super::count(detailed.len(), "photo is", "photos are"));
            page.raw(" shown with pictures, those to look at first. The other ").text(&rest.len().to_string());
            page.raw(" are in <a href=\"#others\">the table after them</a>.</p>\n");
        }
        for (index, photo) in shown {
            self.card(page, index, photo, true, false);
        }
        if !rest.is_empty() {
            page.raw("<h2 id=\"others\">Further photos</h2>\n<table><thead><tr><th>File</th><th>Result</th>");
            page.raw("<th>Faces</th></tr></thead><tbody>\n");
        }
        for (index, photo) in &rest {
            page.raw("<tr").attribute("id", &format!("p{index}")).raw(">").cell("File", &photo.input);
            page.cell("Result", photo.output.as_deref().unwrap_or(status(photo)));
            page.cell("Faces", &self.faces_in_words(photo)).raw("</tr>\n");
        }
        if !rest.is_empty() {
            page.raw("</tbody></table>\n");
        }
    }

    /// What all photos referred to.
    pub fn finish(self, page: &mut Markup) {
        self.pictures.finish(page);
    }

    /// What the figures mean, once.
    fn explain(&self, page: &mut Markup) {
        page.raw("<p>Boxes on a picture show where faces were found; the numbers are those of the tables.");
        if self.any(|face| face.similarity_before.is_some() || face.similarity_after.is_some()) {
            page.raw(" Similarity is the ")
                .name(&self.similarity)
                .raw(", from −1 to 1: it says how alike two faces are ");
            page.raw("to that network, not to people.");
            if let Some(threshold) = self.threshold() {
                page.raw(" From ").text(&signed(threshold)).raw(" on, it takes them for the same person.");
            }
        }
        page.raw("</p>\n");
    }

    fn any(&self, has: impl Fn(&FaceRecord) -> bool) -> bool {
        self.report.photos.iter().flat_map(|photo| &photo.faces).any(has)
    }

    fn threshold(&self) -> Option<f64> {
        self.report.config.get("same_person_cosine")?.as_f64()
    }

    fn card(&mut self, page: &mut Markup, index: usize, photo: &PhotoRecord, detailed: bool, alert: bool) {
        page.raw(if alert { "<article class=\"alert\"" } else { "<article" });
        page.attribute("id", &format!("p{index}")).raw("><h3>").name(&photo.input).raw("</h3>\n<p class=\"meta\">");
        page.text(status(photo));
        if let Some(output) = &photo.output {
            page.raw(": ").name(output);
        }
        if let Some([width, height]) = photo.size_px {
            page.raw(" · ").text(&format!("{width} × {height} pixels"));
        }
        page.raw(" · ").text(&super::count(photo.faces.len(), "face", "faces"));
        let ms: f64 = photo.timings_ms.values().sum();
        if ms > 0.0 {
            page.raw(" · ").text(&super::run::duration(ms));
        }
        page.raw("</p>\n");
        for note in &photo.notes {
            page.raw("<p class=\"note\">").name(note).raw("</p>\n");
        }
        if detailed && (photo.output.is_some() || self.options.include_originals) {
            page.raw("<div class=\"pictures\">\n");
            self.pictures.original(page, photo);
            self.pictures.result(page, photo);
            page.raw("</div>\n");
        }
        if !photo.faces.is_empty() {
            self.table(page, photo);
            self.details(page, photo);
        }
        page.raw("</article>\n");
    }

    /// The faces of a photo, with the columns that say something.
    fn table(&self, page: &mut Markup, photo: &PhotoRecord) {
        let has = |filled: fn(&FaceRecord) -> bool| photo.faces.iter().any(filled);
        let group = has(|face| face.chosen_group.is_some());
        let candidate = has(|face| face.candidate.is_some());
        let similarity = has(|face| face.similarity_before.is_some() || face.similarity_after.is_some());
        let tries = has(|face| face.tries > 0);
        let person = has(|face| face.person.is_some());
        let (before, after) = ("Original and candidate", "Original and result");
        page.raw("<table><thead>");
        page.raw("<tr><th>Face</th><th>What became of it</th><th>Why</th>");
        page.raw(if person { "<th>Person</th>" } else { "" });
        page.raw(if group { "<th>Group</th>" } else { "" });
        page.raw(if candidate { "<th>Replaced by</th>" } else { "" });
        if similarity {
            for (label, of) in [("original and candidate", before), ("original and result", after)] {
                page.raw("<th class=\"figure\"").attribute("title", of).raw(">").name(&self.similarity);
                page.raw(",<br>").raw(label).raw("</th>");
            }
        }
        page.raw(if tries { "<th class=\"figure\">Tries</th>" } else { "" });
        page.raw("<th class=\"figure\">Detector’s score</th></tr></thead><tbody>\n");
        for (nth, face) in photo.faces.iter().enumerate() {
            page.raw("<tr>").cell("Face", &(nth + 1).to_string());
            page.raw("<td class=\"verdict\" data-label=\"Became\">").raw(verdict(face.verdict)).raw("</td>");
            page.cell("Why", face.reason.as_deref().unwrap_or("–"));
            if person {
                page.cell("Person", &face.person.map_or_else(|| "–".to_owned(), |n| format!("person {n}")));
            }
            if group {
                page.cell("Group", &group_in_words(face));
            }
            if candidate {
                page.cell("Replaced by", face.candidate.as_deref().unwrap_or("–"));
            }
            if similarity {
                figure(page, before, face.similarity_before.map(f64::from));
                let alike = self.threshold().zip(face.similarity_after).is_some_and(|(t, s)| f64::from(s) >= t);
                match face.similarity_after.filter(|_| alike && face.verdict != Verdict::Obscured) {
                    Some(value) => {
                        page.raw("<td class=\"figure look\"").attribute("data-label", after).raw(">");
                        page.text(&signed(f64::from(value))).raw(" same person</td>");
                    }
                    None => figure(page, after, face.similarity_after.map(f64::from)),
                }
            }
            if tries {
                page.raw("<td class=\"figure\" data-label=\"Tries\">").text(&face.tries.to_string()).raw("</td>");
            }
            page.raw("<td class=\"figure\" data-label=\"Detector’s score\">");
            page.text(&format!("{:.2}", face.score)).raw("</td></tr>\n");
        }
        page.raw("</tbody></table>\n");
    }

    /// Distances to the groups and the ends of the ranking, for the faces that have them.
    fn details(&mut self, page: &mut Markup, photo: &PhotoRecord) {
        let mut left_out = 0;
        for (nth, face) in photo.faces.iter().enumerate() {
            if face.groups.is_empty() && face.ranking.is_empty() {
                continue;
            }
            if self.plots_left == 0 {
                left_out += 1;
                continue;
            }
            self.plots_left -= 1;
            page.raw("<h4>Face ").text(&(nth + 1).to_string()).raw(": ").text(&group_in_words(face));
            page.raw("</h4>\n");
            if let Some(estimate) = estimate(face) {
                page.raw("<p class=\"note\">").text(&estimate).raw("</p>\n");
            }
            if let Some(checked) = checked(face) {
                page.raw("<p class=\"note\">").text(&checked).raw("</p>\n");
            }
            page.raw("<div class=\"details\">\n");
            if !face.groups.is_empty() {
                page.raw("<div>");
                self.distances(page, face);
                page.raw("</div>\n");
            }
            if !face.ranking.is_empty() {
                page.raw("<div>");
                self.strip(page, face);
                page.raw("</div>\n");
            }
            page.raw("</div>\n");
        }
        if left_out > 0 {
            page.raw("<p class=\"note\">Distances and rankings of ").text(&super::count(left_out, "face", "faces"));
            page.raw(" are left out here to keep the page small; they are in report.json.</p>\n");
        }
    }

    fn distances(&self, page: &mut Markup, face: &FaceRecord) {
        if let Some(choice) = choice(face) {
            page.plot(&plot::distances_svg(&choice, &self.definition));
            return;
        }
        // Groups of another tool: no plot knows them, so they stand as figures.
        page.raw("<table><thead><tr><th>Group</th><th class=\"figure\">Distance, 1 − cosine</th>");
        page.raw("<th class=\"figure\">Members</th></tr></thead><tbody>\n");
        for group in &face.groups {
            page.raw("<tr>").cell("Group", &group.name);
            figure(page, "Distance", Some(group.distance));
            page.raw("<td class=\"figure\" data-label=\"Members\">").text(&group.n.to_string()).raw("</td></tr>\n");
        }
        page.raw("</tbody></table>\n");
    }

    /// The ends of the ranking with their cosines, the taken one marked.
    fn strip(&mut self, page: &mut Markup, face: &FaceRecord) {
        page.raw("<p class=\"note\">Candidates from most to least similar, with the ").name(&self.similarity);
        page.raw("</p>\n<ul class=\"strip\">\n");
        for RankedRecord { candidate, cosine } in &face.ranking {
            let taken = face.candidate.as_deref() == Some(candidate.as_str());
            page.raw(if taken { "<li class=\"taken\">" } else { "<li>" });
            self.pictures.candidate(page, candidate);
            page.name(candidate).raw("<br>").text(&signed(f64::from(*cosine)));
            page.raw(if taken { "<br><b>taken</b></li>\n" } else { "</li>\n" });
        }
        page.raw("</ul>\n");
    }

    /// One line for all faces of a photo.
    fn faces_in_words(&self, photo: &PhotoRecord) -> String {
        let face = |(nth, face): (usize, &FaceRecord)| {
            let mut words = format!("{}: {}", nth + 1, verdict(face.verdict));
            if let Some(candidate) = &face.candidate {
                words += &format!(" by {candidate}");
            }
            if let Some(after) = face.similarity_after {
                words += &format!(" ({} to the result)", signed(f64::from(after)));
            }
            if let Some(reason) = &face.reason {
                words += &format!(" – {reason}");
            }
            words
        };
        let faces: Vec<String> = photo.faces.iter().enumerate().map(face).collect();
        faces.join("; ")
    }
}

/// What was measured of the result, and how it was chosen.
fn checked(face: &FaceRecord) -> Option<String> {
    let by = |(name, cosine): (&String, &f32)| {
        let place = face.ranks_after.get(name).map(|rank| match rank {
            1 => ", the original found first".to_owned(),
            rank => format!(", the original found at place {rank}"),
        });
        format!("{name} {}{}", signed(f64::from(*cosine)), place.unwrap_or_default())
    };
    let mut words: Vec<String> = face.similarities_after.iter().map(by).collect();
    words.extend(face.landmarks_error.map(|error| format!("landmarks moved by {error:.3} eye distances")));
    words.extend(face.tone_step.map(|step| format!("step of skin colour at the edge {step:.1} ΔE")));
    let tones = face.ita_deg.zip(face.candidate_ita_deg);
    let degrees = |deg: f32| format!("{deg:.0}°").replace('-', "−");
    words.extend(
        tones.map(|(own, other)| {
            format!("skin tone {} here, {} in the candidate's picture", degrees(own), degrees(other))
        }),
    );
    let words = words.join("; ");
    let chosen = face.chosen_by.as_deref().map(|how| format!("Chosen: {how}. "));
    (!words.is_empty()).then(|| format!("{}Result: {words}.", chosen.unwrap_or_default()))
}

fn figure(page: &mut Markup, label: &str, value: Option<f64>) {
    page.raw("<td class=\"figure\"").attribute("data-label", label).raw(">");
    page.text(&value.map_or_else(|| "–".to_owned(), signed)).raw("</td>");
}

/// Three decimals and a true minus sign.
fn signed(value: f64) -> String {
    format!("{value:.3}").replace('-', "−")
}

fn status(photo: &PhotoRecord) -> &'static str {
    match (photo.status, photo.output.is_some()) {
        (Status::Done, _) => "Written",
        (Status::NoFace, true) => "No face found, written unchanged",
        (Status::NoFace, false) => "No face found, not written",
        (Status::Unreadable, _) => "Failed",
        (Status::Dropped, _) => "Held back",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Replaced => "replaced",
        Verdict::Obscured => "covered",
        Verdict::Kept => "left as it was",
    }
}

fn group_in_words(face: &FaceRecord) -> String {
    match (&face.chosen_group, &face.grouped_by) {
        (Some(group), Some(by)) => format!("{} (by {by})", group.replace('-', " ")),
        (Some(group), None) => group.replace('-', " "),
        (None, _) => "no group".to_owned(),
    }
}

/// What the networks made of gender and age.
fn estimate(face: &FaceRecord) -> Option<String> {
    let male = face.p_male.map(|p| format!("chance of male appearance {p:.2}"));
    let age = face.age_years.map(|age| format!("apparent age {age:.0}"));
    let parts: Vec<String> = male.into_iter().chain(age).collect();
    (!parts.is_empty()).then(|| format!("Estimated by networks: {}.", parts.join(", ")))
}

/// The record as the plot takes it; `None` if it names groups that are not PerFace's, or has no place on an axis.
fn choice(face: &FaceRecord) -> Option<GroupChoice> {
    let row = |group: &crate::report::GroupRecord| {
        Some(GroupDistanceRow {
            name: group.name.parse().ok()?,
            distance: group.distance,
            mean: group.mean,
            ci_upper: group.ci_upper,
            n: group.n,
        })
    };
    let finite = |group: &crate::report::GroupRecord| {
        [group.distance, group.mean, group.ci_upper.unwrap_or(0.0)].iter().all(|figure| figure.is_finite())
    };
    if !face.groups.iter().all(finite) {
        return None;
    }
    let distances: Vec<GroupDistanceRow> = face.groups.iter().map(row).collect::<Option<_>>()?;
    let chosen = face.chosen_group.as_deref()?.parse().ok()?;
    Some(GroupChoice { chosen, distances, tie: false })
}
