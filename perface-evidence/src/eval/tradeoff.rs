//! Hidden against natural: what runs of one set of photos under different settings gave, side by side.
//!
//! Hidden is the cosine of original and result; natural is how far the replacement's skin tone lies from the face's own and how
//! large a step its edge gained. All figures are read from reports, nothing is measured here.

use std::fmt::Write;

use serde::Serialize;

use perface::report::{FaceRecord, Report, Verdict};
use perface::summary::Proportion;

/// One replaced face.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FacePoint {
    /// Distance of the skin tones of face and candidate, in degrees of ITA.
    pub tone_apart_deg: f32,
    /// Cosine of original and result by the first recogniser.
    pub similarity: f32,
    /// Step of skin colour that the edge gained (CIE 1976 ΔE), if it was seen.
    pub tone_step: Option<f32>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct RunPoint {
    /// What was asked: the setting of `--natural`, or the file's name.
    pub name: String,
    /// Share of all faces that was replaced.
    pub replaced: Proportion,
    /// Mean cosine of original and result by the first recogniser, over replaced faces.
    pub mean_similarity: f32,
    /// Mean distance of skin tones, in degrees of ITA.
    pub mean_tone_apart_deg: f32,
    /// Share of the replaced faces whose skin tone lies more than [`FAR_DEG`] away.
    pub far: Proportion,
    /// Mean step at the edge (CIE 1976 ΔE).
    pub mean_tone_step: f32,
    /// The replaced faces.
    pub faces: Vec<FacePoint>,
}

/// Skin tones farther apart than this are seen at once, in degrees of ITA.
pub const FAR_DEG: f32 = 25.0;

/// The figures of `report`, called `name`; `None` if no face in it was replaced with its skin tone known.
pub fn run_point(name: &str, report: &Report) -> Option<RunPoint> {
    let all: Vec<&FaceRecord> = report.photos.iter().flat_map(|photo| &photo.faces).collect();
    let replaced = all.iter().filter(|face| face.verdict == Verdict::Replaced).count();
    let point = |face: &&FaceRecord| {
        Some(FacePoint {
            tone_apart_deg: (face.ita_deg? - face.candidate_ita_deg?).abs(),
            similarity: face.similarity_after?,
            tone_step: face.tone_step,
        })
    };
    let faces: Vec<FacePoint> = all.iter().filter(|face| face.verdict == Verdict::Replaced).filter_map(point).collect();
    let mean = |values: Vec<f32>| values.iter().sum::<f32>() / values.len().max(1) as f32;
    let far = faces.iter().filter(|face| face.tone_apart_deg > FAR_DEG).count();
    Some(RunPoint {
        name: name.to_owned(),
        replaced: Proportion::wilson(replaced, all.len())?,
        mean_similarity: mean(faces.iter().map(|face| face.similarity).collect()),
        mean_tone_apart_deg: mean(faces.iter().map(|face| face.tone_apart_deg).collect()),
        far: Proportion::wilson(far, faces.len())?,
        mean_tone_step: mean(faces.iter().filter_map(|face| face.tone_step).collect()),
        faces,
    })
}

/// A line for each run.
pub fn to_text(runs: &[RunPoint]) -> String {
    let mut text = "run         replaced  cosine after  tones apart  far apart  edge step\n".to_owned();
    for run in runs {
        let _ = writeln!(
            text,
            "{:<11} {:>7.1}%  {:>12.3}  {:>10.1}°  {:>8.1}%  {:>9.2}",
            run.name,
            100.0 * run.replaced.value,
            run.mean_similarity,
            run.mean_tone_apart_deg,
            100.0 * run.far.value,
            run.mean_tone_step
        );
    }
    text
}

/// Size of the picture and of its margins, in pixels.
const SIZE: (f64, f64) = (640.0, 420.0);
const MARGIN: (f64, f64, f64, f64) = (56.0, 16.0, 16.0, 48.0);
/// Skin tones farther apart are drawn at this place, in degrees of ITA.
const MOST_DEG: f64 = 80.0;
/// Colours that colour-blind people tell apart (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"];

/// Every replaced face as a dot, every run's mean as a large one: to the left natural, to the bottom hidden.
pub fn to_svg(runs: &[RunPoint]) -> String {
    let (left, top, right, bottom) = (MARGIN.0, MARGIN.1, SIZE.0 - MARGIN.2, SIZE.1 - MARGIN.3);
    let x = |deg: f64| left + deg.clamp(0.0, MOST_DEG) / MOST_DEG * (right - left);
    let (low, high) = (-0.2, 0.5);
    let y = |cosine: f64| bottom - (cosine.clamp(low, high) - low) / (high - low) * (bottom - top);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"12\">\n<title>Hidden against natural</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n",
        SIZE.0, SIZE.1
    );
    let number = |value: f64, decimals: usize| format!("{value:.decimals$}").replace('-', "−");
    for step in 0..=8 {
        let deg = 10.0 * f64::from(step);
        let _ = writeln!(svg, "<path d=\"M{0:.1} {top}V{bottom}\" stroke=\"#E0E0E0\"/>", x(deg));
        let label = number(deg, 0);
        let _ =
            writeln!(svg, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", x(deg), bottom + 16.0);
    }
    for step in -2..=5 {
        let cosine = 0.1 * f64::from(step);
        let _ = writeln!(svg, "<path d=\"M{left} {0:.1}H{right}\" stroke=\"#E0E0E0\"/>", y(cosine));
        let label = number(cosine, 1);
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", left - 6.0, y(cosine) + 4.0);
    }
    let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">skin tones of face and candidate apart, degrees of ITA</text>\n\
         <text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">cosine of original and result</text>",
        middle.0,
        bottom + 36.0,
        middle.1
    );
    for (run, colour) in runs.iter().zip(COLOURS.iter().cycle()) {
        for face in &run.faces {
            let (x, y) = (x(f64::from(face.tone_apart_deg)), y(f64::from(face.similarity)));
            let _ =
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{colour}\" fill-opacity=\"0.45\"/>");
        }
    }
    for (nth, (run, colour)) in runs.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let (x, y) = (x(f64::from(run.mean_tone_apart_deg)), y(f64::from(run.mean_similarity)));
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\" fill=\"{colour}\" stroke=\"#FFFFFF\" stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-weight=\"bold\" fill=\"{colour}\">{}: {:.0} % replaced</text>",
            right - 4.0,
            top + 18.0 + 17.0 * nth as f64,
            escape(&run.name),
            100.0 * run.replaced.value
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Text as it may stand in XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use perface::detect::Face;
    use perface::geometry::{Point, Rect};
    use perface::report::{PhotoRecord, SCHEMA, Status, Summary};

    fn report(faces: &[(Verdict, f32, f32)]) -> Report {
        let found =
            Face { box_px: Rect::from_xywh(0.0, 0.0, 9.0, 9.0), landmarks_px: [Point::new(1.0, 1.0); 5], score: 1.0 };
        let record = |&(verdict, tone, similarity): &(Verdict, f32, f32)| FaceRecord {
            ita_deg: Some(50.0),
            candidate_ita_deg: Some(tone),
            similarity_after: Some(similarity),
            tone_step: Some(2.0),
            ..FaceRecord::of(&found, verdict)
        };
        let photos = vec![PhotoRecord {
            input: "a.jpg".to_owned(),
            output: None,
            status: Status::Done,
            notes: Vec::new(),
            size_px: None,
            faces: faces.iter().map(record).collect(),
            timings_ms: BTreeMap::new(),
        }];
        Report {
            schema: SCHEMA,
            tool: String::new(),
            runtime: String::new(),
            config: serde_json::Value::Null,
            models: Vec::new(),
            summary: Summary::of(&photos),
            people: None,
            photos,
            skipped: Vec::new(),
            timings_ms: BTreeMap::new(),
        }
    }

    #[test]
    fn means_are_of_replaced_faces_and_shares_of_all() {
        let faces = [(Verdict::Replaced, 40.0, 0.2), (Verdict::Replaced, 0.0, 0.1), (Verdict::Obscured, 0.0, 0.9)];
        let run = run_point("normal", &report(&faces)).unwrap();
        assert_eq!((run.replaced.hits, run.replaced.n, run.far.hits, run.far.n), (2, 3, 1, 2));
        assert!((run.mean_similarity - 0.15).abs() < 1e-6 && (run.mean_tone_apart_deg - 30.0).abs() < 1e-6);
        assert!(run_point("nobody", &report(&faces[2..])).is_none());
    }

    #[test]
    fn every_face_and_every_run_is_drawn() {
        let faces = [(Verdict::Replaced, 40.0, 0.2), (Verdict::Replaced, -60.0, -0.9)];
        let runs = [run_point("a<b", &report(&faces)).unwrap(), run_point("off", &report(&faces)).unwrap()];
        let svg = to_svg(&runs);
        assert_eq!(svg.matches("<circle").count(), 6);
        assert!(svg.contains("a&lt;b: 100 % replaced") && !svg.contains("NaN"));
        assert_eq!(to_text(&runs).lines().count(), 3);
    }
}
