//! The run itself: its time, its networks, its options.

use super::markup::Markup;
use crate::model::card::Role;
use crate::report::{ModelRecord, Report};

/// Width of a bar's own coordinates.
const BAR: f64 = 1000.0;

/// Time by stage, longest first, as bars.
pub fn timings(page: &mut Markup, report: &Report) {
    let mut stages: Vec<(&str, f64)> =
        report.timings_ms.iter().map(|(stage, ms)| (stage.as_str(), ms.max(0.0))).collect();
    stages.sort_by(|a, b| b.1.total_cmp(&a.1));
    let total: f64 = stages.iter().map(|(_, ms)| ms).sum();
    if total <= 0.0 || !total.is_finite() {
        return;
    }
    page.raw("<h2 id=\"time\">Where the time went</h2>\n<p>").text(&duration(total)).raw(" of work over all photos");
    let photos = report.photos.len().max(1) as f64;
    page.raw(", ")
        .text(&duration(total / photos))
        .raw(" for each. Photos worked on side by side count separately.</p>\n");
    page.raw("<table><thead><tr><th>Stage</th><th></th><th class=\"figure\">Time</th>");
    page.raw("<th class=\"figure\">Share</th></tr></thead><tbody>\n");
    for (stage, ms) in stages {
        let share = ms / total;
        page.raw("<tr>").cell("Stage", stage).raw("<td class=\"wide\"><svg class=\"bar\" viewBox=\"0 0 1000 20\" ");
        page.raw("preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect height=\"20\"").number("width", share * BAR);
        page.raw("/></svg></td><td class=\"figure\" data-label=\"Time\">").text(&duration(ms));
        page.raw("</td><td class=\"figure\" data-label=\"Share\">").text(&format!("{:.0} %", share * 100.0));
        page.raw("</td></tr>\n");
    }
    page.raw("</tbody></table>\n");
}

/// Milliseconds as a person says them.
pub fn duration(ms: f64) -> String {
    match ms {
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms if ms < 120_000.0 => format!("{:.1} s", ms / 1e3),
        ms => format!("{:.1} min", ms / 6e4),
    }
}

/// The networks, with terms and hashes.
pub fn models(page: &mut Markup, models: &[ModelRecord]) {
    if models.is_empty() {
        return;
    }
    page.raw("<h2 id=\"models\">Networks that ran</h2>\n<table><thead><tr><th>Name</th><th>Use</th><th>Licence</th>");
    page.raw("<th>SHA-256</th></tr></thead><tbody>\n");
    for model in models {
        page.raw("<tr>").cell("Name", &model.name).cell("Use", role(model.role)).cell("Licence", &model.licence);
        page.raw("<td class=\"hash\" data-label=\"SHA-256\"><span>").text(&model.sha256).raw("</span></td></tr>\n");
    }
    page.raw("</tbody></table>\n");
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Detector => "finds faces",
        Role::Embedder => "compares faces",
        Role::Mesh => "finds a face's shape",
        Role::Gender => "estimates apparent gender",
        Role::Age => "estimates apparent age",
        Role::Swapper => "replaces faces",
        Role::Identity => "reads who is to be put in",
        Role::Converter => "converts identities",
        Role::Region => "tells parts of a face apart",
        Role::Occlusion => "finds what covers a face",
    }
}

/// Every option, as it was.
pub fn configuration(page: &mut Markup, config: &serde_json::Value) {
    let Some(options) = config.as_object().filter(|options| !options.is_empty()) else { return };
    page.raw("<h2 id=\"options\">Options</h2>\n<table><thead><tr><th>Option</th><th>Value</th></tr></thead><tbody>\n");
    for (name, value) in options {
        page.raw("<tr>").cell("Option", name).raw("<td data-label=\"Value\"><pre>");
        match value.as_str() {
            Some(text) => page.text(text),
            None => page.text(&value.to_string()),
        };
        page.raw("</pre></td></tr>\n");
    }
    page.raw("</tbody></table>\n");
}

/// What made the page.
pub fn footer(page: &mut Markup, tool: &str, runtime: &str, more: &'static str) {
    page.raw("<footer><p>Made by ").text(tool).raw(", networks run by ").text(runtime).raw(". ").raw(more);
    page.raw("</p></footer>\n");
}
