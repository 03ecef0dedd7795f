//! The page that may be published: what was done, and nothing of whom.
//!
//! It is made from [`Report::public`] alone, so that it cannot say more than that.

use serde_json::Value;

use super::markup::Markup;
use super::{document, run};
use crate::report::{ModelRecord, Report, Summary};

/// The page that says how photos were anonymised without names, seeds, candidates, pictures or figures of a face.
pub fn public_html(report: &Report) -> String {
    page(&report.public())
}

fn page(public: &Value) -> String {
    let mut page = Markup::default();
    let part = |name: &str| public.get(name).cloned().unwrap_or_default();
    let summary: Summary = serde_json::from_value(part("summary")).unwrap_or_default();
    page.raw("<h1>How these photos were anonymised</h1>\n");
    in_words(&mut page, &summary, &part("config"));
    covered(&mut page, &part("obscured_because"));
    run::models(&mut page, &serde_json::from_value::<Vec<ModelRecord>>(part("models")).unwrap_or_default());
    run::configuration(&mut page, &part("config"));
    let word = |name: &str| part(name).as_str().unwrap_or_default().to_owned();
    run::footer(&mut page, &word("tool"), &word("runtime"), "");
    document("How these photos were anonymised", page)
}

fn in_words(page: &mut Markup, s: &Summary, config: &Value) {
    let photos = s.photos.saturating_sub(s.unreadable + s.dropped + s.no_face);
    page.raw("<p>").text(&super::count(s.faces, "face was", "faces were")).raw(" found by a face detector. ");
    if s.replaced > 0 {
        page.text(&super::count(s.replaced, "was", "were"));
        page.raw(" replaced by the face of nobody on the photo, chosen to look unlike the person it stands for. ");
    }
    if s.obscured > 0 {
        page.text(&super::count(s.obscured, "was", "were")).raw(" covered with a solid fill. ");
    }
    if s.kept > 0 {
        page.text(&super::count(s.kept, "was", "were")).raw(" left as on the photo on purpose. ");
    }
    page.raw("</p>\n");
    super::tiles(page, s);
    page.raw("<p>Of ").text(&super::count(s.photos, "file", "files")).raw(", ").text(&photos.to_string());
    page.raw(" had faces and gave a result.</p>\n");
    if let (Some(similarity), true) = (config.get("similarity").and_then(Value::as_str), s.replaced > 0) {
        page.raw("<p>How alike two faces are was measured by the ").name(similarity);
        page.raw(": what a network makes of it, not what people do.</p>\n");
    }
    page.raw("<p>No detector finds every face, and a person can also be known by clothes, company or place.</p>\n");
}

fn covered(page: &mut Markup, reasons: &Value) {
    let Some(reasons) = reasons.as_object().filter(|reasons| !reasons.is_empty()) else { return };
    page.raw("<h2>Why faces were covered</h2>\n<table><thead><tr><th>Reason</th><th class=\"figure\">Faces</th></tr>");
    page.raw("</thead><tbody>\n");
    for (reason, faces) in reasons {
        page.raw("<tr>").cell("Reason", reason).raw("<td class=\"figure\" data-label=\"Faces\">");
        page.text(&faces.to_string()).raw("</td></tr>\n");
    }
    page.raw("</tbody></table>\n");
}
