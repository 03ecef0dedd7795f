//! Try to undo what was done: compare published photos with their originals as an attacker would.
//!
//! ```text
//! originals, outputs ─ files ─▶ pairs ─ look ─▶ faces, descriptors, misses, metadata
//!                                         └─ recognition, learned ─▶ rates with intervals ─ verdict ─▶ passed or not
//! ```
//!
//! Photos are read one pair at a time on each core; of a face only its descriptors are kept, so memory does not grow
//! with the size of photos. A rate is of the attacks named here and of no others; [`LIMITS`] says so on every page.

pub mod files;
pub mod learned;
pub mod look;
mod page;
pub mod recognition;
mod verdict;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;

use self::files::{FilePair, FilePairs};
use self::learned::Learned;
use self::look::{Eyes, Kept, Missed, PairLook, State};
pub use self::page::html;
use self::recognition::{Linking, Matching, Pair, Seen};
pub use self::verdict::{Gate, Gates};
use perface::error::{Error, Result};
use perface::metadata::{self, Kind};
use perface::model::card::ModelCard;
use perface::parallel::in_parallel_on;
use perface::report::ModelRecord;
use perface::summary::quantile;

/// Version of the audit's JSON.
pub const SCHEMA: u32 = 1;

/// Of how many faces the names are listed, those most alike first.
const MOST_ALIKE: usize = 20;

/// What the attacker of this audit has and does.
pub const ATTACKER: [&str; 4] = [
    "has every original photo with the person's name, and every published photo",
    "runs each of the networks named below on every face, and ranks all originals by their likeness to a result",
    "has learned, from the results of other people whose originals are known, a linear map from results to originals",
    "reads everything that is stored in the published files beside the pixels",
];

/// What the audit does not show.
pub const LIMITS: [&str; 7] = [
    "People can know somebody by hair, body, clothes, company, place and date. None of that was tested.",
    "A recogniser that is not named here may see more. Results are no promise about networks to come.",
    "An attacker who holds the very photo can find it by its background; faces play no part in that.",
    "A map that is not linear, or learned from many more pairs, may undo more.",
    "An attacker who knows the seed and the pool of the run can do it again and compare. Keep both secret.",
    "A face that the detector does not find even in the second look is in no figure here.",
    "Without names, each face of an original counts as a person of its own; two photos of one person then count as two \
     people, which flatters the rates.",
];

/// How an audit is run.
pub struct AuditOptions {
    /// Pairs looked at side by side; at least one.
    pub jobs: usize,
    /// Who the main face of an original is, by its path; faces of nobody named count as people of their own.
    pub people: HashMap<std::path::PathBuf, String>,
    /// What must hold.
    pub gates: Gates,
}

/// What one recogniser still makes of the results.
#[derive(Clone, Debug, Serialize)]
pub struct Recognition {
    /// The recogniser.
    pub model: String,
    /// What its similarity is called.
    pub similarity: String,
    /// Its own threshold for "the same person".
    pub same_person_cosine: Option<f32>,
    /// Results against originals.
    pub matching: Matching,
    /// Whether results of one person belong together, where people are named.
    pub linking: Option<Linking>,
    /// The attacker who has learned; absent with too few people.
    pub learned: Option<Learned>,
}

/// A result that is still much like its original.
#[derive(Clone, Debug, Serialize)]
pub struct Alike {
    /// The output.
    pub file: String,
    /// Number of the face in the original, from the left, from 1.
    pub face: usize,
    /// The recogniser by which it is.
    pub model: String,
    /// Cosine with the original.
    pub cosine: f32,
    /// Place of the right person in the search.
    pub rank: usize,
}

/// Faces of the originals by what became of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Faces {
    /// All.
    pub originals: usize,
    /// Another face stands in their place.
    pub replaced: usize,
    /// No face is found in their place.
    pub gone: usize,
    /// Left on purpose.
    pub kept: usize,
    /// As they were, though nobody said so.
    pub untouched: usize,
}

/// Files by how they ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileCounts {
    /// Originals that have an output.
    pub pairs: usize,
    /// Originals without one, and why.
    pub without_output: Vec<(String, String)>,
    /// Outputs that belong to no original, and were only read for metadata.
    pub strays: Vec<String>,
    /// What could not be read, and why.
    pub unreadable: Vec<String>,
}

/// Median and 90 % point of what replacements keep, smaller being better.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Changed {
    /// Half of the faces change less.
    pub median: f64,
    /// Nine of ten faces change less.
    pub p90: f64,
}

/// What is kept of replaced faces.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Utility {
    /// Faces it was measured on.
    pub faces: usize,
    /// By what was measured; see [`Kept`] for units.
    pub changed: BTreeMap<&'static str, Changed>,
    /// Median score of the detector, before and after.
    pub score: Option<[f64; 2]>,
    /// Outputs without loss, and those among them with a changed pixel outside all heads.
    pub lossless: [usize; 2],
}

/// The record of an audit.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// Version of this format: 1.
    pub schema: u32,
    /// Program and version.
    pub tool: String,
    /// What ran the networks.
    pub runtime: String,
    /// What the attacker has and does.
    pub attacker: Vec<&'static str>,
    /// What this does not show.
    pub limits: Vec<&'static str>,
    /// The networks.
    pub models: Vec<ModelRecord>,
    /// Files.
    pub files: FileCounts,
    /// Faces.
    pub faces: Faces,
    /// People among the originals, named or not.
    pub people: usize,
    /// Whether people were named.
    pub people_named: bool,
    /// One entry for each recogniser.
    pub recognition: Vec<Recognition>,
    /// Results most like their originals.
    pub most_alike: Vec<Alike>,
    /// Faces left as they were.
    pub missed: Vec<Missed>,
    /// Files by what they say beside the pixels.
    pub metadata: BTreeMap<Kind, Vec<String>>,
    /// What is kept of replaced faces.
    pub utility: Utility,
    /// What had to hold.
    pub gates: Vec<Gate>,
    /// Whether all of it did.
    pub passed: bool,
    /// What a reader should bear in mind.
    pub warnings: Vec<String>,
}

/// Compare the pairs of `files`. `on_pair` is told of each pair that is done, from any thread.
///
/// # Errors
/// If there is no pair, or a network fails. A file that cannot be read is no error but listed, and fails a gate.
pub fn run(
    eyes: &Eyes,
    files: &FilePairs,
    options: &AuditOptions,
    runtime: &str,
    on_pair: &(dyn Fn() + Sync),
) -> Result<Audit> {
    if files.pairs.is_empty() {
        return Err(Error::Usage("no original has an output; there is nothing to compare".to_owned()));
    }
    let looks = look_at_all(eyes, &files.pairs, options.jobs, on_pair)?;
    let mut audit = Audit {
        schema: SCHEMA,
        tool: format!("perface {}", env!("CARGO_PKG_VERSION")),
        runtime: runtime.to_owned(),
        attacker: ATTACKER.to_vec(),
        limits: LIMITS.to_vec(),
        models: eyes.embedders.iter().map(|e| ModelRecord::from(e.card())).collect(),
        files: file_counts(files, &looks),
        faces: Faces::default(),
        people: 0,
        people_named: !options.people.is_empty(),
        recognition: Vec::new(),
        most_alike: Vec::new(),
        missed: Vec::new(),
        metadata: BTreeMap::new(),
        utility: utility(looks.iter().flatten()),
        gates: Vec::new(),
        passed: false,
        warnings: Vec::new(),
    };
    for (pair, look) in files.pairs.iter().zip(&looks) {
        let Ok(look) = look else { continue };
        audit.missed.extend(look.missed.iter().cloned());
        note_metadata(&mut audit.metadata, &pair.name, &look.metadata);
    }
    for stray in &files.strays {
        if let Ok(bytes) = perface::file::read_limited(stray, eyes.limits.max_bytes) {
            let kinds: Vec<Kind> = metadata::scan(&bytes).into_iter().collect();
            note_metadata(&mut audit.metadata, &stray.to_string_lossy(), &kinds);
        }
    }
    let cards: Vec<&ModelCard> = eyes.embedders.iter().map(|e| e.card()).collect();
    recognise(&mut audit, &files.pairs, &looks, &cards, &options.people);
    audit.gates = options.gates.judge(&audit);
    audit.passed = audit.gates.iter().all(|gate| gate.passed);
    audit.warnings = verdict::warnings(&audit);
    Ok(audit)
}

fn note_metadata(found: &mut BTreeMap<Kind, Vec<String>>, name: &str, kinds: &[Kind]) {
    for kind in kinds {
        found.entry(*kind).or_default().push(name.to_owned());
    }
}

/// Look at every pair, `jobs` at a time, in order. A file that cannot be read is told in words.
fn look_at_all(
    eyes: &Eyes,
    pairs: &[FilePair],
    jobs: usize,
    on_pair: &(dyn Fn() + Sync),
) -> Result<Vec<Result<PairLook, String>>> {
    let done = in_parallel_on(jobs, pairs, |pair| {
        let look = eyes.look(pair);
        on_pair();
        look
    });
    let mut looks = Vec::with_capacity(pairs.len());
    for look in done {
        match look {
            Ok(look) => looks.push(Ok(look)),
            Err(error @ (Error::Unreadable { .. } | Error::Io { .. } | Error::Malformed { .. })) => {
                looks.push(Err(error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(looks)
}

fn file_counts(files: &FilePairs, looks: &[Result<PairLook, String>]) -> FileCounts {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    FileCounts {
        pairs: files.pairs.len(),
        without_output: files.without_output.iter().map(|(path, why)| (text(path), why.clone())).collect(),
        strays: files.strays.iter().map(|path| text(path)).collect(),
        unreadable: files.failed.iter().chain(looks.iter().filter_map(|look| look.as_ref().err())).cloned().collect(),
    }
}

/// One of the figures of [`Kept`].
type Measure = fn(&Kept) -> f64;

fn utility<'a>(looks: impl Iterator<Item = &'a PairLook> + Clone) -> Utility {
    let kept: Vec<Kept> = looks.clone().flat_map(|look| &look.faces).filter_map(|face| face.kept).collect();
    let outside: Vec<f64> = looks.filter_map(|look| look.changed_outside).collect();
    let changed = |of: Measure| {
        let values: Vec<f64> = kept.iter().map(of).collect();
        Some(Changed { median: quantile(&values, 0.5)?, p90: quantile(&values, 0.9)? })
    };
    let measures: [(&'static str, Measure); 5] = [
        ("landmarks", |k| k.landmarks),
        ("pose_degrees", |k| k.pose_degrees),
        ("mouth", |k| k.mouth),
        ("eyes", |k| k.eyes),
        ("colour", |k| k.colour),
    ];
    let score = |at: usize| {
        let values: Vec<f64> = kept.iter().filter_map(|k| k.score.get(at).copied()).collect();
        quantile(&values, 0.5)
    };
    Utility {
        faces: kept.len(),
        changed: measures.iter().filter_map(|&(name, of)| Some((name, changed(of)?))).collect(),
        score: score(0).zip(score(1)).map(|(before, after)| [before, after]),
        lossless: [outside.len(), outside.iter().filter(|&&share| share > 0.0).count()],
    }
}

/// A face of the looks with its person.
struct Someone<'a> {
    face: &'a look::FaceLook,
    /// Place of its pair.
    photo: usize,
    /// Its number in the photo, from 1.
    number: usize,
    person: usize,
}

fn recognise(
    audit: &mut Audit,
    pairs: &[FilePair],
    looks: &[Result<PairLook, String>],
    cards: &[&ModelCard],
    names: &HashMap<std::path::PathBuf, String>,
) {
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut everyone = Vec::new();
    let mut people = 0;
    for (photo, (pair, look)) in pairs.iter().zip(looks).enumerate() {
        let faces = look.iter().flat_map(|look| &look.faces);
        for (number, face) in faces.enumerate() {
            let mut newcomer = || {
                people += 1;
                people - 1
            };
            let person = match names.get(&pair.original).filter(|_| face.is_main) {
                Some(name) => *known.entry(name.as_str()).or_insert_with(newcomer),
                None => newcomer(),
            };
            everyone.push(Someone { face, photo, number: number + 1, person });
            audit.faces.originals += 1;
            match face.state {
                State::Replaced => audit.faces.replaced += 1,
                State::Gone => audit.faces.gone += 1,
                State::Kept => audit.faces.kept += 1,
                State::Untouched => audit.faces.untouched += 1,
            }
        }
    }
    audit.people = people;
    let mut alike = Vec::new();
    for (index, card) in cards.iter().enumerate() {
        let originals: Vec<Seen> = everyone
            .iter()
            .filter_map(|s| Some(Seen { embedding: s.face.original.get(index)?, person: s.person, photo: s.photo }))
            .collect();
        let (results, of): (Vec<Pair>, Vec<&Someone>) = everyone
            .iter()
            .filter_map(|s| {
                let result = Seen { embedding: s.face.result.get(index)?, person: s.person, photo: s.photo };
                Some((Pair { result, original: s.face.original.get(index)? }, s))
            })
            .unzip();
        let threshold = card.same_person.as_ref().map(|t| t.cosine);
        let ranks = recognition::ranks(&results, &originals, people);
        alike.extend(results.iter().zip(&of).zip(ranks).filter_map(|((pair, someone), rank)| {
            Some(Alike {
                file: pairs.get(someone.photo)?.name.clone(),
                face: someone.number,
                model: card.name.clone(),
                cosine: pair.result.embedding.cosine(pair.original),
                rank,
            })
        }));
        let seen: Vec<Seen> = results.iter().map(|pair| pair.result).collect();
        audit.recognition.push(Recognition {
            model: card.name.clone(),
            similarity: card.similarity.clone(),
            same_person_cosine: threshold,
            matching: recognition::matching(&results, &originals, people, threshold),
            linking: recognition::linking(&seen, &originals, threshold),
            learned: learned::attack(&results, &originals, people),
        });
    }
    alike.sort_by(|a: &Alike, b| a.rank.cmp(&b.rank).then(b.cosine.total_cmp(&a.cosine)));
    alike.truncate(MOST_ALIKE);
    audit.most_alike = alike;
}
