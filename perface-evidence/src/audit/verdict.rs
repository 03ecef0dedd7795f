//! What must hold before photos are published, and what was found.

use serde::Serialize;

use super::recognition::Search;
use super::{Audit, Recognition};
use perface::summary::Proportion;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gates {
    /// Largest share of results whose right person comes first in a search, with any recogniser.
    pub max_rank1: f64,
    /// Whether the upper limit of the 95 % interval must keep to it, not only the share itself.
    pub by_upper_limit: bool,
    /// How many faces may have been left as they were without being named.
    pub max_missed: usize,
    /// Whether files may say where, when and by whom they were made.
    pub allow_metadata: bool,
}

impl Default for Gates {
    fn default() -> Self {
        Self { max_rank1: 0.01, by_upper_limit: false, max_missed: 0, allow_metadata: false }
    }
}

/// One thing that had to hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// What was asked.
    pub asked: String,
    /// What was found.
    pub found: String,
    /// Whether it holds.
    pub passed: bool,
}

/// Fewer results than this say little: with none found, the upper limit is still above 3 %.
const FEW: usize = 100;

/// `3 of 360 (0.83 %, 0.28–2.42 %)`.
pub(super) fn in_words(p: &Proportion) -> String {
    let percent = |x: f64| format!("{:.*}", if x < 0.1 { 2 } else { 1 }, 100.0 * x);
    format!("{} of {} ({} %, {}–{} %)", p.hits, p.n, percent(p.value), percent(p.low), percent(p.high))
}

impl Gates {
    /// Every gate with its outcome.
    pub(super) fn judge(&self, audit: &Audit) -> Vec<Gate> {
        let mut gates = Vec::new();
        for recognition in &audit.recognition {
            gates.extend(self.search(recognition));
            gates.extend(self.learned(recognition));
        }
        let sure = audit.missed.iter().filter(|missed| missed.sure).count();
        gates.push(Gate {
            asked: format!("at most {} faces left as they were without being named", self.max_missed),
            found: format!("{sure}, and {} less sure ones to look at", audit.missed.len() - sure),
            passed: sure <= self.max_missed,
        });
        let telling: Vec<String> = audit
            .metadata
            .iter()
            .filter(|(kind, _)| kind.tells())
            .map(|(kind, files)| format!("{} in {}", kind.name(), files.len()))
            .collect();
        gates.push(Gate {
            asked: "nothing in the files that tells where, when or by whom they were made".to_owned(),
            found: if telling.is_empty() { "nothing".to_owned() } else { telling.join(", ") },
            passed: telling.is_empty() || self.allow_metadata,
        });
        gates.push(Gate {
            asked: "every pair of files can be read".to_owned(),
            found: format!("{} cannot", audit.files.unreadable.len()),
            passed: audit.files.unreadable.is_empty(),
        });
        gates
    }

    fn search(&self, recognition: &Recognition) -> Option<Gate> {
        let rank1 = recognition.matching.search?.rank1;
        let limit = if self.by_upper_limit { rank1.high } else { rank1.value };
        let by = if self.by_upper_limit { ", by the upper limit of the interval" } else { "" };
        Some(Gate {
            asked: format!(
                "{}: a search names the right person first for at most {} % of the results{by}",
                recognition.model,
                100.0 * self.max_rank1
            ),
            found: in_words(&rank1),
            passed: limit <= self.max_rank1,
        })
    }

    /// A map that was learned guesses too, so it fails where it is better than the limit and than guessing beyond
    /// doubt.
    fn learned(&self, recognition: &Recognition) -> Option<Gate> {
        let learned = recognition.learned?;
        let limit = self.max_rank1.max(learned.chance);
        Some(Gate {
            asked: format!(
                "{}: an attacker who has learned does not do better than {:.2} % beyond doubt (guessing: {:.2} %)",
                recognition.model,
                100.0 * limit,
                100.0 * learned.chance
            ),
            found: in_words(&learned.rank1),
            passed: learned.rank1.low <= limit,
        })
    }
}

/// What a reader should bear in mind.
pub(super) fn warnings(audit: &Audit) -> Vec<String> {
    let mut warnings = Vec::new();
    let searches: Vec<Search> = audit.recognition.iter().filter_map(|r| r.matching.search).collect();
    if searches.is_empty() {
        warnings.push("No face stands in the outputs, so recognisers had nothing to work on.".to_owned());
    }
    if searches.iter().any(|search| search.rank1.n < FEW) {
        warnings.push(format!("Fewer than {FEW} results: the intervals are wide, and a pass says little."));
    }
    if searches.iter().any(|search| search.people < FEW) {
        warnings.push(format!("Fewer than {FEW} people are searched: a search among few is easily right by chance."));
    }
    if audit.recognition.len() < 2 {
        warnings
            .push("One recogniser alone; if it was also the one that chose the results, it proves little.".to_owned());
    }
    if audit.recognition.iter().all(|r| r.learned.is_none()) {
        warnings.push("Too few people to learn from: the attacker who has learned was not tried.".to_owned());
    }
    if !audit.people_named {
        warnings.push("Nobody was named, so each face counts as a person, and linking was not tried.".to_owned());
    }
    if !audit.files.strays.is_empty() {
        warnings.push(format!(
            "{} outputs belong to no original here; of these only metadata was read.",
            audit.files.strays.len()
        ));
    }
    warnings
}

impl Audit {
    /// As text.
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "{} pairs of files, {} faces of {} people: {} replaced, {} without a face in their place, {} kept, {} \
             untouched\n",
            self.files.pairs,
            self.faces.originals,
            self.people,
            self.faces.replaced,
            self.faces.gone,
            self.faces.kept,
            self.faces.untouched
        );
        for r in &self.recognition {
            out += &format!("{}\n", r.similarity);
            for (what, value) in figures(r) {
                out += &format!("  {what:<58} {value}\n");
            }
        }
        for missed in self.missed.iter().take(20) {
            let sure = if missed.sure { "left as it was" } else { "perhaps a face left as it was" };
            out += &format!(
                "{}: {sure}, score {:.2} at {:.0}, {:.0}\n",
                missed.file, missed.score, missed.box_px.left, missed.box_px.top
            );
        }
        for (kind, files) in &self.metadata {
            out += &format!("{} in {} files, the first {}\n", kind.name(), files.len(), files[0]);
        }
        for gate in &self.gates {
            let verdict = if gate.passed { "pass" } else { "FAIL" };
            out += &format!("{verdict}  {}: {}\n", gate.asked, gate.found);
        }
        for warning in &self.warnings {
            out += &format!("note: {warning}\n");
        }
        out += if self.passed { "PASSED the tests above, and no others.\n" } else { "FAILED.\n" };
        out
    }
}

/// The figures of one recogniser, in words.
pub(super) fn figures(r: &Recognition) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let m = &r.matching;
    let search = |rows: &mut Vec<(String, String)>, what: &str, s: &Search| {
        rows.push((format!("{what}: right person first"), in_words(&s.rank1)));
        rows.push((format!("{what}: among the first five"), in_words(&s.rank5)));
    };
    if let Some(own) = m.own {
        rows.push((
            "cosine of result and original: mean, 95 % below, highest".to_owned(),
            format!("{:.3}, {:.3}, {:.3}", own.mean, own.p95, own.max),
        ));
    }
    if let (Some(accepted), Some(threshold)) = (&m.accepted, r.same_person_cosine) {
        rows.push((format!("taken for the original at its threshold, {threshold:.3}"), in_words(accepted)));
    }
    for at in &m.at_far {
        rows.push((
            format!("taken for the original at {} % wrong accepts ({:.3})", 100.0 * at.far, at.cosine),
            in_words(&at.accepted),
        ));
    }
    if let Some(s) = &m.search {
        search(&mut rows, &format!("search among {} people", s.people), s);
        rows.push(("the same by guessing".to_owned(), format!("{:.2} %", 100.0 * s.chance)));
    }
    if let Some(s) = &m.search_other_photos {
        search(&mut rows, "search without the very photo", s);
    }
    if let Some(s) = &m.search_untouched {
        search(&mut rows, "for comparison, untouched faces", s);
    }
    if let Some(l) = &r.learned {
        rows.push((format!("attacker who has learned, {} people: first", l.people), in_words(&l.rank1)));
        rows.push(("attacker who has learned: among the first five".to_owned(), in_words(&l.rank5)));
    }
    if let Some(l) = &r.linking {
        if let (Some(linked), Some(wrongly)) = (&l.linked, &l.wrongly_linked) {
            rows.push(("two results of one person taken for one person".to_owned(), in_words(linked)));
            rows.push(("two results of two people taken for one person".to_owned(), in_words(wrongly)));
        }
        if let (Some(auc), Some(originals)) = (l.auc, l.auc_of_originals) {
            rows.push((
                "results of one person told from others, AUC (.5 is guessing)".to_owned(),
                format!("{auc:.3}; originals {originals:.3}"),
            ));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_said_with_its_counts_and_interval() {
        assert_eq!(in_words(&Proportion::wilson(3, 360).unwrap()), "3 of 360 (0.83 %, 0.28–2.42 %)");
        assert_eq!(in_words(&Proportion::wilson(18, 20).unwrap()), "18 of 20 (90.0 %, 69.9–97.2 %)");
    }
}
