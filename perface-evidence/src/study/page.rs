//! The report of a closed study, as a page and as text.

use super::close::{CloseReport, Pattern};
use super::vote::PersonSummary;
use perface::plot::axes::{BOTTOM, LEFT, Scale};
use perface::plot::figure::{Anchor, FAINT, Figure, SERIES, TextStyle};
use perface::report::html::document;
use perface::report::html::markup::Markup;
use perface::stats::Interval;
use perface::summary::Proportion;

/// The report as a page that fetches nothing and has no scripts.
pub fn html(report: &CloseReport) -> String {
    let mut page = Markup::default();
    if report.simulated {
        page.raw("<div class=\"banner\" role=\"note\"><p><strong>SIMULATED</strong> Nobody was asked. These numbers ");
        page.raw("describe simulated or derived answers and say nothing about people.</p></div>\n");
    }
    page.raw("<h1>What people found closer</h1>\n<p>");
    let [targets, triplets, samples] = report.design;
    page.text(&format!("{targets} targets × {triplets} source triplets, {samples} samples; at least "));
    page.text(&report.rules.k.to_string()).raw(" valid answers asked for each.");
    if let Some(engine) = &report.engine {
        page.raw(" Pictures by ").text(engine).raw(".");
    }
    page.raw("</p>\n<ul class=\"counts\">\n");
    let count = |page: &mut Markup, n: usize, what: &'static str| {
        page.raw("<li><b>").text(&n.to_string()).raw("</b>").raw(what).raw("</li>\n");
    };
    if !report.people.is_empty() {
        count(&mut page, report.people.len(), "people");
        count(&mut page, report.excluded, "of them excluded");
    }
    count(&mut page, report.answers.valid, "valid answers");
    count(&mut page, report.samples.written, "samples in the table");
    count(&mut page, report.samples.d1_majority, "with a majority (D1)");
    count(&mut page, report.samples.d2_unanimous, "unanimous (D2)");
    if report.samples.too_few > 0 {
        count(&mut page, report.samples.too_few, "left out: too few answers");
    }
    if report.samples.tied > 0 {
        count(&mut page, report.samples.tied, "tied");
    }
    page.raw("</ul>\n");
    for note in &report.notes {
        page.raw("<p class=\"note\">").text(note).raw("</p>\n");
    }
    agreement(&mut page, report);
    if !report.patterns.is_empty() {
        page.raw("<h2>Votes per sample</h2>\n<figure>").plot(&patterns_svg(&report.patterns)).raw("</figure>\n");
    }
    if let Some(times) = &report.times {
        page.raw("<h2>Answer times</h2>\n<figure>").plot(&times_svg(&times.histogram)).raw("</figure>\n<p>");
        page.text(&format!(
            "Median {:.2} s; 5 % below {:.2} s, 5 % above {:.2} s.",
            times.median_ms / 1e3,
            times.p05_ms / 1e3,
            times.p95_ms / 1e3
        ));
        page.raw("</p>\n");
    }
    people(&mut page, report);
    splits(&mut page, report);
    document("PerFace study report", page)
}

fn agreement(page: &mut Markup, report: &CloseReport) {
    let Some(agreement) = &report.agreement else { return };
    page.raw("<h2>How much people agree</h2>\n<table><thead><tr><th>Measure</th><th class=\"figure\">Value</th>");
    page.raw("<th class=\"figure\">95 % interval</th></tr></thead><tbody>\n");
    let mut row = |name: &str, interval: Option<&Interval>| {
        page.raw("<tr>").cell("Measure", name).raw("<td class=\"figure\" data-label=\"Value\">");
        page.text(&interval.map_or("–".to_owned(), |i| format!("{:.3}", i.estimate)));
        page.raw("</td><td class=\"figure\" data-label=\"95 % interval\">");
        page.text(&interval.map_or("–".to_owned(), |i| format!("{:.3} to {:.3}", i.low, i.high)));
        page.raw("</td></tr>\n");
    };
    row("Two people agree", Some(&agreement.pairwise));
    row("Fleiss’ κ", agreement.fleiss_kappa.as_ref());
    row("Krippendorff’s α", agreement.krippendorff_alpha.as_ref());
    row("All agree on a sample", Some(&agreement.unanimous));
    page.raw("</tbody></table>\n<p class=\"note\">").text(&format!(
        "Intervals: percentiles of {} two-way resamples of targets and source triplets, which samples share.",
        agreement.resamples
    ));
    page.raw("</p>\n<h2>What a perfect model could reach</h2>\n<table><thead><tr><th>Compared with</th>");
    page.raw("<th class=\"figure\">Share</th></tr></thead><tbody>\n");
    let ceiling = &agreement.ceiling;
    let mut row = |name: &str, value: Option<f64>| {
        page.raw("<tr>").cell("Compared with", name).raw("<td class=\"figure\" data-label=\"Share\">");
        page.text(&value.map_or("–".to_owned(), |v| format!("{v:.3}"))).raw("</td></tr>\n");
    };
    row("A third person where two agree (no model needed)", ceiling.third_where_two_agree);
    row("One new person, all samples", ceiling.model.map(|m| m.oracle_new_person));
    row("The majority of three, all samples", ceiling.model.map(|m| m.oracle_majority));
    row("The label of unanimous samples", ceiling.model.map(|m| m.oracle_unanimous));
    row("A fourth person with the label of unanimous samples", ceiling.model.map(|m| m.fourth_person_unanimous));
    page.raw("</tbody></table>\n<p class=\"note\">The last four assume that the share of people who prefer A varies ");
    page.raw("from sample to sample as Beta(a, a)");
    if let Some(model) = ceiling.model {
        page.text(&format!(", here with a = {:.2}", model.a));
    }
    page.raw(". On unanimous samples people are right by construction: that is no ceiling.</p>\n");
}

fn people(page: &mut Markup, report: &CloseReport) {
    if report.people.is_empty() {
        return;
    }
    page.raw("<h2>People</h2>\n<p>");
    if let Some(left) = report.left {
        page.text(&format!("The left face was chosen in {} of valid answers. ", in_words(&left)));
    }
    if let Some(consistent) = report.consistent {
        page.text(&format!("Asked again with sides exchanged, people answered alike in {}. ", in_words(&consistent)));
    }
    page.text(&format!(
        "{} answers of excluded people and {} too fast ones do not count.",
        report.answers.of_excluded, report.answers.too_fast
    ));
    page.raw("</p>\n<table><thead><tr><th>Person</th><th class=\"figure\">Valid</th><th class=\"figure\">Dummies missed</th>");
    page.raw("<th class=\"figure\">Too fast</th><th class=\"figure\">Same on repeats</th><th class=\"figure\">Left chosen</th>");
    page.raw(
        "<th class=\"figure\">Agrees with majority</th><th class=\"figure\">Median time</th></tr></thead><tbody>\n",
    );
    for person in &report.people {
        page.raw("<tr>").cell("Person", &person_name(person));
        let share =
            |p: Option<Proportion>| p.map_or("–".to_owned(), |p| format!("{:.0} % of {}", 100.0 * p.value, p.n));
        for (label, text) in [
            ("Valid", format!("{} of {}", person.valid, person.answers)),
            ("Dummies missed", format!("{} of {}", person.missed, person.dummies)),
            ("Too fast", person.too_fast.to_string()),
            ("Same on repeats", share(person.consistent)),
            ("Left chosen", share(person.left)),
            ("Agrees with majority", share(person.with_others)),
            ("Median time", person.median_ms.map_or("–".to_owned(), |ms| format!("{:.1} s", ms / 1e3))),
        ] {
            page.raw("<td class=\"figure\"").attribute("data-label", label).raw(">").text(&text).raw("</td>");
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table>\n");
}

fn person_name(person: &PersonSummary) -> String {
    if person.excluded { format!("{} (excluded)", person.person_id) } else { person.person_id.clone() }
}

fn in_words(share: &Proportion) -> String {
    format!("{:.1} % ({:.1} % to {:.1} %)", 100.0 * share.value, 100.0 * share.low, 100.0 * share.high)
}

fn splits(page: &mut Markup, report: &CloseReport) {
    let Some(splits) = &report.splits else { return };
    page.raw("<h2>Parts of the table</h2>\n<table><thead><tr><th>Part</th><th class=\"figure\">Samples</th></tr></thead><tbody>\n");
    for (split, n) in &splits.questions {
        page.raw("<tr>").cell("Part", part(&split.to_string())).raw("<td class=\"figure\" data-label=\"Samples\">");
        page.text(&n.to_string()).raw("</td></tr>\n");
    }
    page.raw("</tbody></table>\n<p class=\"note\">No target of [i] and [ii], and no source of [i] and [iii], is in ");
    page.raw("training or validation; this was checked, also picture by picture.</p>\n");
}

/// What a part is for.
fn part(split: &str) -> &str {
    match split {
        "train" => "train: to learn from",
        "val" => "val: to stop by",
        "i" => "i: neither target nor sources were learnt from",
        "ii" => "ii: new targets, known sources",
        "iii" => "iii: known targets, new sources",
        other => other,
    }
}

/// Width of the plots.
const WIDTH: f64 = 520.0;
/// Height of the plots.
const HEIGHT: f64 = 230.0;
/// Room above and right of the data.
const MARGIN: f64 = 16.0;

/// Bars with their counts on top and `names` below.
fn bars(title: &str, x_name: &str, bars: &[(String, usize)]) -> String {
    let mut figure = Figure::new(WIDTH, HEIGHT, title);
    let bottom = HEIGHT - BOTTOM;
    let most = bars.iter().map(|(_, n)| *n).max().unwrap_or(1) as f64;
    let y = Scale::around([0.0, most], 4.0, bottom, MARGIN);
    // The frame draws no ticks along x: bars have names.
    let (left, right) = (LEFT, WIDTH - MARGIN);
    for tick in y.ticks() {
        figure.line((left, y.place(tick)), (right, y.place(tick)), perface::plot::figure::GRID, 1.0);
        figure.text((left - 6.0, y.place(tick) + 4.0), Anchor::End, TextStyle::default(), y.label(tick));
    }
    let step = (right - left) / bars.len().max(1) as f64;
    let small = TextStyle { size: if bars.len() > 8 { 10.0 } else { 12.0 }, ..TextStyle::default() };
    for (place, (name, n)) in bars.iter().enumerate() {
        let middle = left + (place as f64 + 0.5) * step;
        let half = (step * 0.38).min(30.0);
        let top = y.place(*n as f64);
        figure.bar((middle - half, top), (middle + half, bottom), SERIES[0], 1.0);
        figure.text((middle, top - 4.0), Anchor::Middle, small, n.to_string());
        figure.text((middle, bottom + 15.0), Anchor::Middle, small, name.clone());
    }
    figure.line((left, bottom), (right, bottom), FAINT, 1.0);
    figure.text(((left + right) / 2.0, bottom + 35.0), Anchor::Middle, TextStyle::default(), x_name);
    let upwards = TextStyle { upwards: true, ..TextStyle::default() };
    figure.text((LEFT - 42.0, (MARGIN + bottom) / 2.0), Anchor::Middle, upwards, "number");
    figure.to_svg()
}

/// How many samples have which votes.
pub fn patterns_svg(patterns: &[Pattern]) -> String {
    const MOST: usize = 16;
    let named: Vec<_> =
        patterns.iter().take(MOST).map(|p| (format!("{} : {}", p.votes_a, p.votes_b), p.samples)).collect();
    bars("Samples by votes for A and for B", "votes for A : votes for B", &named)
}

/// How many answers took how long.
pub fn times_svg(histogram: &[(f64, usize)]) -> String {
    let last = histogram.len().saturating_sub(1);
    let name = |place: usize, end: f64| match place {
        place if place == last => "more".to_owned(),
        _ if end < 9950.0 => format!("{:.1}", end / 1e3),
        _ => format!("{:.0}", end / 1e3),
    };
    let named: Vec<_> = histogram.iter().enumerate().map(|(place, (end, n))| (name(place, *end), *n)).collect();
    bars("Answers by the time they took", "seconds, up to", &named)
}

/// The report in a few lines.
pub fn to_text(report: &CloseReport) -> String {
    let mut lines = Vec::new();
    let samples = &report.samples;
    lines.push(format!(
        "{} people ({} excluded), {} valid answers; {} samples: {} with a majority (D1), {} unanimous (D2), {} tied, {} left out",
        report.people.len(),
        report.excluded,
        report.answers.valid,
        samples.written,
        samples.d1_majority,
        samples.d2_unanimous,
        samples.tied,
        samples.too_few
    ));
    if let Some(agreement) = &report.agreement {
        let show = |name: &str, i: &Interval| format!("{name:<28} {:.3}  [{:.3}, {:.3}]", i.estimate, i.low, i.high);
        lines.push(show("two people agree", &agreement.pairwise));
        lines.extend(agreement.fleiss_kappa.as_ref().map(|i| show("Fleiss' kappa", i)));
        lines.extend(agreement.krippendorff_alpha.as_ref().map(|i| show("Krippendorff's alpha", i)));
        if let Some(third) = agreement.ceiling.third_where_two_agree {
            lines.push(format!("{:<28} {third:.3}", "a third where two agree"));
        }
        if let Some(model) = agreement.ceiling.model {
            lines.push(format!("{:<28} {:.3}", "ceiling on unanimous samples", model.oracle_unanimous));
        }
    }
    if let Some(splits) = &report.splits {
        let parts: Vec<String> = splits.questions.iter().map(|(split, n)| format!("{split} {n}")).collect();
        lines.push(format!("parts: {}", parts.join(", ")));
    }
    lines.extend(report.notes.iter().cloned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::close::{CloseOptions, close};
    use crate::study::tests::tiny;
    use crate::study::trial::Purpose;
    use crate::study::vote::{Vote, utc};
    use crate::study::{SampleKind, Side};

    fn report() -> CloseReport {
        let study = tiny(10, 10, 0);
        let mut votes = Vec::new();
        for person in ["p1", "p2", "<script>"] {
            for (place, sample) in study.of_kind(SampleKind::Real).enumerate() {
                votes.push(Vote {
                    sample_id: sample.id.clone(),
                    person_id: person.to_owned(),
                    choice: if place % 3 == 0 && person == "p1" { Side::B } else { Side::A },
                    left: Side::A,
                    ms: 900,
                    valid: true,
                    answered_at: utc(0),
                    purpose: Purpose::Real,
                });
            }
        }
        close(&study, votes, &CloseOptions::of(&study)).unwrap().report
    }

    #[test]
    fn the_page_says_what_counts_and_obeys_no_names() {
        let page = html(&report());
        assert!(page.contains("Krippendorff") && page.contains("no ceiling") && page.matches("<svg").count() == 2);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && !page.contains("SIMULATED"));
        assert!(html(&CloseReport { simulated: true, ..report() }).contains("SIMULATED"));
    }

    #[test]
    fn text_has_the_measures_with_their_intervals() {
        let text = to_text(&report());
        assert!(text.contains("100 with a majority (D1), 66 unanimous (D2)"), "{text}");
        assert!(text.contains("two people agree") && text.contains('['));
    }
}
