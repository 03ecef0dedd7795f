//! Asking people which of two faces is closer to a third: the study behind a similarity.
//!
//! A study is a folder. [`design`] draws who is in it, [`render`] makes its pictures, [`trial`] decides who is asked
//! what, [`vote`] keeps the answers, [`agreement`] says how much people agree, and [`close`] makes the table a
//! similarity is trained on.
//!
//! ```text
//! study/study.json     the design: targets, source triplets, samples, rules, seed
//! study/pictures/…     every source's face on every target, as trained on
//! study/shown/…        the same, all of one size, as people see them
//! study/texts/…        what people read: information, consent, the last page
//! study/answers.db     the answers, as they come
//! ```

pub mod agreement;
pub mod celeba;
pub mod close;
pub mod design;
pub mod face_list;
pub mod import;
pub mod page;
pub mod render;
pub mod texts;
pub mod trial;
pub mod vote;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use perface::atomic::{self, Overwrite};
use perface::error::{Error, Result};
use perface::file::read_limited;
use perface::pool::Gender;

/// Name of the design inside a study's folder.
pub const FILE_NAME: &str = "study.json";
/// Largest design that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Most samples of a study.
pub const MAX_SAMPLES: usize = 200_000;
/// Most valid answers a sample may be asked for.
pub const MAX_K: usize = 99;

pub use perface::triplets::Side;

/// What a sample is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleKind {
    /// To learn what people think.
    Real,
    /// To find out who does not look: the answer is certain.
    Dummy,
    /// To learn how it is done; not counted.
    Practice,
}

/// How a study is run; part of its design, so that it is fixed before the first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Valid answers every sample needs.
    pub k: usize,
    /// Dummies a person may miss; one more, and none of the person's answers counts. The paper's is 0.
    pub allowed_misses: usize,
    /// Faster answers do not count, in milliseconds.
    pub min_ms: u64,
    /// One question in so many is a dummy; 0 for none.
    pub dummy_every: usize,
    /// One question in so many repeats an earlier one with its sides exchanged; 0 for none.
    pub repeat_every: usize,
    /// Most questions a person is asked; 0 for as many as there are.
    pub per_person: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { k: 3, allowed_misses: 0, min_ms: 300, dummy_every: 20, repeat_every: 40, per_person: 0 }
    }
}

impl Rules {
    /// Check that a study can be run so.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the rule.
    pub fn check(&self) -> Result<()> {
        if self.k == 0 || self.k > MAX_K {
            return Err(Error::Usage(format!("k is {}, but 1 to {MAX_K} answers can be asked for", self.k)));
        }
        if self.dummy_every == 1 || self.repeat_every == 1 {
            return Err(Error::Usage("a study of dummies or repeats alone asks nothing".to_owned()));
        }
        Ok(())
    }
}

/// A picture that receives the sources' faces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Name, `t001` and so on.
    pub id: String,
    /// Its file, relative to the study's folder.
    pub image: String,
    /// Apparent gender.
    pub gender: Gender,
}

/// A picture made from another one of the same person, for a dummy whose person has one photo.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Left and right exchanged.
    pub mirrored: bool,
    /// Share of the width and height that is kept, from the middle.
    pub kept: f32,
    /// Exponent of the brightness: below 1 lighter, above 1 darker.
    pub gamma: f32,
}

/// Three sources: C, and the two that are compared with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceTriplet {
    /// Name: `s001` for samples, `d001` for dummies, `p001` for practice.
    pub id: String,
    /// File of the reference, relative to the study's folder.
    pub c: String,
    /// File of A.
    pub a: String,
    /// File of B.
    pub b: String,
    /// Apparent gender of all three.
    pub gender: Gender,
    /// What was done to the face that shows C again, where C's person has no second photo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
}

/// One question: a source triplet on one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Name.
    pub id: String,
    /// The target.
    pub target_id: String,
    /// The sources.
    pub triplet_id: String,
    /// What it is for.
    pub kind: SampleKind,
    /// The certain answer of dummies and practice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct: Option<Side>,
}

/// A label that was corrected by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The picture, as the data set names it.
    pub image: String,
    /// Which label.
    pub attribute: String,
    /// What it became.
    pub value: String,
}

/// A study's design.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// 1.
    pub schema: u32,
    /// Seed of the design and of the order of questions.
    pub seed: u64,
    /// Which engine made the pictures; `None` before they are made.
    pub engine: Option<String>,
    /// SHA-256 of the engine's network; `None` for the built-in engine, which has none.
    pub model_hash: Option<String>,
    /// True if no person answers: every number of such a study must say so.
    #[serde(default)]
    pub simulated: bool,
    /// How it is run.
    #[serde(flatten)]
    pub rules: Rules,
    /// The targets.
    pub targets: Vec<Target>,
    /// The sources, with those of dummies and practice.
    pub triplets: Vec<SourceTriplet>,
    /// The questions.
    pub samples: Vec<Sample>,
    /// Labels corrected by hand.
    #[serde(default)]
    pub overrides: Vec<Override>,
}

/// One of the three pictures of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The reference.
    C,
    /// The face A.
    A,
    /// The face B.
    B,
}

impl Place {
    /// All three.
    pub const ALL: [Self; 3] = [Self::C, Self::A, Self::B];

    /// Its letter in file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::A => "a",
            Self::B => "b",
        }
    }
}

impl From<Side> for Place {
    fn from(side: Side) -> Self {
        match side {
            Side::A => Self::A,
            Side::B => Self::B,
        }
    }
}

impl SourceTriplet {
    /// The source in `place`.
    pub fn image(&self, place: Place) -> &str {
        match place {
            Place::C => &self.c,
            Place::A => &self.a,
            Place::B => &self.b,
        }
    }
}

impl Sample {
    /// Where the picture in `place` is, relative to `pictures/` or `shown/`.
    pub fn picture(&self, place: Place) -> String {
        format!("{}/{}{}.jpg", self.target_id, self.triplet_id, place.as_str())
    }
}

impl Study {
    /// Read the design in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] if it is not a design, names something it does not have, or has something
    /// twice.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let bytes = read_limited(&path, MAX_BYTES)?;
        let malformed = |reason: String| Error::Malformed { path: path.clone(), reason };
        let study: Self = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        study.check().map_err(malformed)?;
        Ok(study)
    }

    /// Write the design into `folder`.
    ///
    /// # Errors
    /// [`Error::Io`]; there is one already and `overwrite` is `Never`.
    pub fn write(&self, folder: &Path, overwrite: Overwrite) -> Result<()> {
        let path = folder.join(FILE_NAME);
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Malformed { path: path.clone(), reason: error.to_string() })?;
        bytes.push(b'\n');
        atomic::write(&path, &bytes, overwrite)
    }

    /// The triplet called `id`.
    pub fn triplet(&self, id: &str) -> Option<&SourceTriplet> {
        self.triplets.iter().find(|triplet| triplet.id == id)
    }

    /// The samples of one kind.
    pub fn of_kind(&self, kind: SampleKind) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.kind == kind)
    }

    /// Where each sample stands.
    pub fn sample_index(&self) -> HashMap<&str, usize> {
        self.samples.iter().enumerate().map(|(index, sample)| (sample.id.as_str(), index)).collect()
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != 1 {
            return Err(format!("schema is {}, this program reads 1", self.schema));
        }
        if self.samples.len() > MAX_SAMPLES {
            return Err(format!("{} samples, at most {MAX_SAMPLES} are read", self.samples.len()));
        }
        self.rules.check().map_err(|error| error.to_string())?;
        let ids = |what: &str, ids: Vec<&str>| -> Result<std::collections::HashSet<String>, String> {
            let mut seen = std::collections::HashSet::new();
            for id in ids {
                if !is_id(id) {
                    return Err(format!("{what} {id:?}: a name has letters, digits, - and _ only"));
                }
                if !seen.insert(id.to_owned()) {
                    return Err(format!("{what} {id} stands there twice"));
                }
            }
            Ok(seen)
        };
        let targets = ids("target", self.targets.iter().map(|t| t.id.as_str()).collect())?;
        let triplets = ids("triplet", self.triplets.iter().map(|t| t.id.as_str()).collect())?;
        ids("sample", self.samples.iter().map(|s| s.id.as_str()).collect())?;
        for sample in &self.samples {
            if !targets.contains(&sample.target_id) {
                return Err(format!("sample {}: there is no target {}", sample.id, sample.target_id));
            }
            if !triplets.contains(&sample.triplet_id) {
                return Err(format!("sample {}: there is no triplet {}", sample.id, sample.triplet_id));
            }
            if (sample.kind == SampleKind::Real) == sample.correct.is_some() {
                return Err(format!("sample {}: dummies and practice have a correct answer, others none", sample.id));
            }
        }
        Ok(())
    }
}

/// Whether `id` can be part of a file name on any system.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// `path` as seen from `folder`, both absolute; with `/`. `path` itself where the two share no root.
pub fn relative_to(path: &Path, folder: &Path) -> String {
    let (path_parts, folder_parts): (Vec<_>, Vec<_>) = (path.components().collect(), folder.components().collect());
    let shared = path_parts.iter().zip(&folder_parts).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return path.to_string_lossy().replace('\\', "/");
    }
    let up = std::iter::repeat_n(PathBuf::from(".."), folder_parts.len() - shared);
    let down = path_parts.iter().skip(shared).map(|part| PathBuf::from(part.as_os_str()));
    up.chain(down).collect::<PathBuf>().to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A study of `targets` × `triplets` with as many dummies and no pictures.
    pub fn tiny(targets: usize, triplets: usize, dummies: usize) -> Study {
        let gender = |n: usize| if n.is_multiple_of(2) { Gender::Male } else { Gender::Female };
        let triplet = |id: String, n: usize| SourceTriplet {
            c: format!("{id}-c.png"),
            a: format!("{id}-a.png"),
            b: format!("{id}-b.png"),
            gender: gender(n),
            variant: None,
            id,
        };
        let mut study = Study {
            schema: 1,
            seed: 7,
            engine: None,
            model_hash: None,
            simulated: false,
            rules: Rules::default(),
            targets: (0..targets)
                .map(|n| Target { id: format!("t{n:03}"), image: format!("t{n}.png"), gender: gender(n) })
                .collect(),
            triplets: (0..triplets).map(|n| triplet(format!("s{n:03}"), n)).collect(),
            samples: Vec::new(),
            overrides: Vec::new(),
        };
        for target in 0..targets {
            for source in 0..triplets {
                study.samples.push(Sample {
                    id: format!("t{target:03}-s{source:03}"),
                    target_id: format!("t{target:03}"),
                    triplet_id: format!("s{source:03}"),
                    kind: SampleKind::Real,
                    correct: None,
                });
            }
        }
        for (kind, letter) in [(SampleKind::Dummy, 'd'), (SampleKind::Practice, 'p')] {
            for n in 0..dummies {
                study.triplets.push(triplet(format!("{letter}{n:03}"), n));
                study.samples.push(Sample {
                    id: format!("{letter}{n:03}"),
                    target_id: "t000".to_owned(),
                    triplet_id: format!("{letter}{n:03}"),
                    kind,
                    correct: Some(if n.is_multiple_of(2) { Side::A } else { Side::B }),
                });
            }
        }
        study
    }

    #[test]
    fn a_design_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let study = tiny(3, 4, 2);
        study.write(folder.path(), Overwrite::Never).unwrap();
        assert_eq!(Study::read(folder.path()).unwrap(), study);
        assert!(study.write(folder.path(), Overwrite::Never).is_err(), "a design is not overwritten by mistake");
    }

    #[test]
    fn a_design_that_contradicts_itself_is_refused_by_name() {
        type Break = fn(&mut Study);
        let broken: [(Break, &str); 7] = [
            (|s| s.schema = 2, "schema is 2"),
            (|s| s.samples[0].target_id = "t9".to_owned(), "no target t9"),
            (|s| s.samples[0].triplet_id = "s9".to_owned(), "no triplet s9"),
            (|s| s.samples[1].id = s.samples[0].id.clone(), "stands there twice"),
            (|s| s.samples[0].correct = Some(Side::A), "correct answer"),
            (|s| s.targets[0].id = "../up".to_owned(), "letters, digits"),
            (|s| s.rules.k = 0, "k is 0"),
        ];
        for (break_it, want) in broken {
            let folder = tempfile::tempdir().unwrap();
            let mut study = tiny(2, 2, 1);
            break_it(&mut study);
            study.write(folder.path(), Overwrite::Never).unwrap();
            let message = Study::read(folder.path()).unwrap_err().to_string();
            assert!(message.contains(want), "{message} lacks {want}");
        }
    }

    #[test]
    fn paths_are_told_from_the_studys_folder() {
        let relative = |path: &str, folder: &str| relative_to(Path::new(path), Path::new(folder));
        assert_eq!(relative("/data/faces/a.jpg", "/data/study"), "../faces/a.jpg");
        assert_eq!(relative("/data/study/a.jpg", "/data/study"), "a.jpg");
    }
}
