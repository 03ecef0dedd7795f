//! What was found, chosen, changed and refused: the record of one run.
//!
//! A report holds names of files, similarities and choices, so it is confidential; [`Report::public`] makes the part
//! that may be published. It is data: pages and tables are made from it elsewhere.

pub mod html;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::Face;
use crate::geometry::{Point, Rect};
use crate::model::card::{ModelCard, Role};
use crate::tree::Skipped;

/// Version of the report's JSON.
pub const SCHEMA: u32 = 1;

/// The record of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of this format: 1.
    pub schema: u32,
    /// Program and version.
    pub tool: String,
    /// What ran the networks.
    pub runtime: String,
    /// Every option that shapes the result.
    pub config: serde_json::Value,
    /// The networks that ran.
    pub models: Vec<ModelRecord>,
    /// One record for each input, in the order they were given.
    pub photos: Vec<PhotoRecord>,
    /// Files and folders that were passed over, so that nobody takes them for done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedRecord>,
    /// Counts over all photos.
    pub summary: Summary,
    /// People on several photos; absent if nobody is, or the run was unlinkable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<PeopleSummary>,
    /// Time spent in each stage over all photos and threads, in milliseconds.
    pub timings_ms: BTreeMap<String, f64>,
}

/// A file or folder that was passed over: nothing was read, nothing written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SkippedRecord {
    /// The file or folder.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl From<&Skipped> for SkippedRecord {
    fn from(skipped: &Skipped) -> Self {
        Self { path: skipped.path.display().to_string(), reason: skipped.reason.to_owned() }
    }
}

/// Which network, by hash, and under which terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Its short name.
    pub name: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Licence of its weights.
    pub licence: String,
    /// What it was used for.
    pub role: Role,
}

impl From<&ModelCard> for ModelRecord {
    fn from(card: &ModelCard) -> Self {
        Self { name: card.name.clone(), sha256: card.sha256.clone(), licence: card.licence.clone(), role: card.role }
    }
}

/// How one input ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Written, with every face replaced, obscured or deliberately kept.
    Done,
    /// No face was found. Written only if that was allowed.
    NoFace,
    /// Could not be read, worked on or written; nothing was written.
    Unreadable,
    /// Not written, because a face could not be replaced and that was asked for.
    Dropped,
}

/// What became of a face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Another face stands in its place.
    Replaced,
    /// A solid fill covers the head.
    Obscured,
    /// Left as it was, because it was named to be kept.
    Kept,
}

/// One input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhotoRecord {
    /// The file that was read.
    pub input: String,
    /// The file that was written, under the output folder; absent if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Why nothing was written, or what a reader should know of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Width and height, upright; absent if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_px: Option<[u32; 2]>,
    /// Its faces, from left to right.
    #[serde(default)]
    pub faces: Vec<FaceRecord>,
    /// Time spent in each stage, in milliseconds.
    #[serde(default)]
    pub timings_ms: BTreeMap<String, f64>,
}

/// One face.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaceRecord {
    /// The detector's box, in photo pixels.
    pub box_px: Rect,
    /// How sure the detector was, in `[0, 1]`.
    pub score: f32,
    /// Eyes, nose tip and mouth corners, in photo pixels.
    pub landmarks_px: [Point; 5],
    /// Estimated chance of male gender, in `[0, 1]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_male: Option<f32>,
    /// Estimated age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_years: Option<f32>,
    /// Distances to every group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRecord>,
    /// The group a replacement was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_group: Option<String>,
    /// How the group was chosen: `similarity` or `classifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grouped_by: Option<String>,
    /// The ends of the chosen group's ranking, most similar first; a few of each end, not the whole group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranking: Vec<RankedRecord>,
    /// Name of the candidate that stands in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// Cosine of the original with the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity_before: Option<f32>,
    /// Cosine of the original with the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity_after: Option<f32>,
    /// The same by every recogniser that checked the result, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub similarities_after: BTreeMap<String, f32>,
    /// At which place the original is found when the result is looked for among all originals of the run, from 1, by each
    /// recogniser; absent where too few other people are in the run to tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ranks_after: BTreeMap<String, usize>,
    /// Mean distance of the result's five landmarks from the original's, in eye distances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landmarks_error: Option<f32>,
    /// Step of skin colour that the edge of the face gained (CIE 1976 ΔE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tone_step: Option<f32>,
    /// Skin tone of the face in its photo's light, as individual typology angle in degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ita_deg: Option<f32>,
    /// The same of the candidate in its own picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_ita_deg: Option<f32>,
    /// How many of the group were set aside because their skin tone does not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unfitting_tones: usize,
    /// How many candidates were tried.
    #[serde(default)]
    pub tries: usize,
    /// How the result was chosen among the tries, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_by: Option<String>,
    /// Number of the person, from 1, where every recogniser finds him or her on other photos of the run too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<usize>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it was obscured or kept, or what a reader should know of its replacement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl FaceRecord {
    /// What is known of a face as soon as it is found.
    pub fn of(face: &Face, verdict: Verdict) -> Self {
        Self {
            box_px: face.box_px,
            score: face.score,
            landmarks_px: face.landmarks_px,
            p_male: None,
            age_years: None,
            groups: Vec::new(),
            chosen_group: None,
            grouped_by: None,
            ranking: Vec::new(),
            candidate: None,
            similarity_before: None,
            similarity_after: None,
            similarities_after: BTreeMap::new(),
            ranks_after: BTreeMap::new(),
            landmarks_error: None,
            tone_step: None,
            ita_deg: None,
            candidate_ita_deg: None,
            unfitting_tones: 0,
            tries: 0,
            chosen_by: None,
            person: None,
            verdict,
            reason: None,
        }
    }
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A candidate in a face's ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedRecord {
    /// Its id in the pool.
    pub candidate: String,
    /// Cosine of the original with it.
    pub cosine: f32,
}

/// A face's distance to one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Name of the group.
    pub name: String,
    /// The distance that decides, by the definition in the configuration.
    pub distance: f64,
    /// Mean of 1 − cosine over the group.
    pub mean: f64,
    /// Upper limit of the 95 % confidence interval of that mean; absent for a single member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_upper: Option<f64>,
    /// How many members.
    pub n: usize,
}

impl From<&crate::group::GroupDistanceRow> for GroupRecord {
    fn from(row: &crate::group::GroupDistanceRow) -> Self {
        Self { name: row.name.to_string(), distance: row.distance, mean: row.mean, ci_upper: row.ci_upper, n: row.n }
    }
}

/// Counts over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Inputs.
    pub photos: usize,
    /// Faces in them.
    pub faces: usize,
    /// Faces another stands in for.
    pub replaced: usize,
    /// Faces covered.
    pub obscured: usize,
    /// Faces left as they were on purpose.
    pub kept: usize,
    /// Photos in which no face was found.
    pub no_face: usize,
    /// Photos not written because a face could not be replaced.
    pub dropped: usize,
    /// Inputs that could not be read, worked on or written.
    pub unreadable: usize,
}

impl Summary {
    /// Count `photos`.
    pub fn of(photos: &[PhotoRecord]) -> Self {
        let mut summary = Self { photos: photos.len(), ..Self::default() };
        for photo in photos {
            match photo.status {
                Status::Done => {}
                Status::NoFace => summary.no_face += 1,
                Status::Unreadable => summary.unreadable += 1,
                Status::Dropped => summary.dropped += 1,
            }
            for face in &photo.faces {
                summary.faces += 1;
                match face.verdict {
                    Verdict::Replaced => summary.replaced += 1,
                    Verdict::Obscured => summary.obscured += 1,
                    Verdict::Kept => summary.kept += 1,
                }
            }
        }
        summary
    }
}

/// How far one person got one replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeopleSummary {
    /// People on several photos.
    pub people: usize,
    /// Their replaced faces.
    pub replaced: usize,
    /// Those among them with the replacement the person has most often.
    pub shared: usize,
}

impl PeopleSummary {
    /// Over `photos`; `None` if nobody is known on several.
    pub fn of(photos: &[PhotoRecord]) -> Option<Self> {
        let mut persons: BTreeMap<usize, BTreeMap<&str, usize>> = BTreeMap::new();
        for face in photos.iter().flat_map(|photo| &photo.faces) {
            let Some(person) = face.person else { continue };
            let uses = persons.entry(person).or_default();
            if let (Verdict::Replaced, Some(candidate)) = (face.verdict, face.candidate.as_deref()) {
                *uses.entry(candidate).or_default() += 1;
            }
        }
        let counts = || persons.values().map(|uses| uses.values().copied());
        let (replaced, shared) = (counts().flatten().sum(), counts().filter_map(Iterator::max).sum());
        (!persons.is_empty()).then_some(Self { people: persons.len(), replaced, shared })
    }
}

impl Report {
    /// The part that may be published: no names, seeds, candidates, places or similarities, only what was done.
    pub fn public(&self) -> serde_json::Value {
        let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
        for face in self.photos.iter().flat_map(|photo| &photo.faces) {
            let why = match (face.verdict, face.reason.as_deref()) {
                (Verdict::Obscured, Some(reason)) => reason,
                _ => continue,
            };
            *verdicts.entry(why).or_default() += 1;
        }
        let config = match &self.config {
            serde_json::Value::Object(map) => map
                .iter()
                .filter(|(key, _)| PUBLIC_CONFIG.contains(&key.as_str()))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            _ => serde_json::Map::new(),
        };
        serde_json::json!({
            "schema": self.schema,
            "tool": self.tool,
            "runtime": self.runtime,
            "config": config,
            "models": self.models,
            "summary": self.summary,
            "obscured_because": verdicts,
        })
    }
}

/// Options that say what was done without helping anybody to undo it.
const PUBLIC_CONFIG: [&str; 9] = [
    "engine",
    "model",
    "similarity",
    "same_person_cosine",
    "min_score",
    "tries",
    "rerank",
    "natural",
    "group_distance",
];

/// Time spent in each stage over all `photos`, in milliseconds.
pub fn total_timings(photos: &[PhotoRecord]) -> BTreeMap<String, f64> {
    let mut total = BTreeMap::new();
    for (stage, ms) in photos.iter().flat_map(|photo| &photo.timings_ms) {
        *total.entry(stage.clone()).or_default() += ms;
    }
    total
}
