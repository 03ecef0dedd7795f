//! `perface study design`: who is in a study.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use perface::atomic::Overwrite;
use perface::attribute::AttributeReader;
use perface::candidates::Reader;
use perface::photo::{self, Limits};
use perface::swap::warp::look::Look;
use perface::table::ColumnNames;
use perface_evidence::study::design::{self, DesignOptions};
use perface_evidence::study::{FILE_NAME, Rules, SampleKind, celeba, face_list, texts};
use serde::Serialize;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `study design`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface study design faces/ --out study/\n  perface study design CelebAMask-HQ/ --overrides corrected.csv --out study/\n  \
    perface study design faces/ --targets 10 --triplets 10 --dummies 4 --out small/\n\n\
    faces/ holds groups.csv (image, gender; perhaps age, person, glasses, hat, yaw), pool.csv as made by `perface pool build`,\n\
    or the lists of CelebAMask-HQ. Only use pictures of people whose terms allow it."
)]
pub struct Design {
    /// Folder of faces with their list, or the list itself.
    faces: PathBuf,
    /// Folder of the study.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Take the sources from this folder, such as a pool, and only the targets from FACES.
    #[arg(long, value_name = "DIR")]
    sources: Option<PathBuf>,
    /// How many targets.
    #[arg(long, default_value_t = 80, value_name = "N")]
    targets: usize,
    /// How many source triplets.
    #[arg(long, default_value_t = 80, value_name = "N")]
    triplets: usize,
    /// Lay faces only on targets of the same gender.
    #[arg(long)]
    same_gender: bool,
    /// How many dummies, whose answer is certain.
    #[arg(long, default_value_t = 20, value_name = "N")]
    dummies: usize,
    /// How many practice questions.
    #[arg(long, default_value_t = 3, value_name = "N")]
    practice: usize,
    /// Take exactly the faces of this list: columns image, role (target, c, a, b), triplet.
    #[arg(long, value_name = "CSV")]
    pick: Option<PathBuf>,
    /// Corrected labels of CelebAMask-HQ: columns idx, attr, value.
    #[arg(long, value_name = "CSV")]
    overrides: Option<PathBuf>,
    /// Foreign column names of groups.csv, as ours=theirs,…
    #[arg(long, default_value = "", value_name = "PAIRS")]
    columns: ColumnNames,
    /// Pass over faces turned farther away, in degrees, by the list or as it looks.
    #[arg(long, default_value_t = 30.0, value_name = "DEGREES")]
    max_yaw: f32,
    /// Valid answers every sample needs.
    #[arg(long, default_value_t = 3)]
    k: usize,
    /// Dummies a person may miss before none of their answers counts.
    #[arg(long, default_value_t = 0, value_name = "N")]
    allowed_misses: usize,
    /// Faster answers do not count, in milliseconds.
    #[arg(long, default_value_t = 300, value_name = "MS")]
    min_ms: u64,
    /// One question in so many is a dummy; 0 for none.
    #[arg(long, default_value_t = 20, value_name = "N")]
    dummy_every: usize,
    /// One question in so many repeats an earlier one; 0 for none.
    #[arg(long, default_value_t = 40, value_name = "N")]
    repeat_every: usize,
    /// Most questions a person is asked; 0 for as many as there are.
    #[arg(long, default_value_t = 0, value_name = "N")]
    per_person: usize,
    /// Seed of the draw and of the order of questions.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Do not look at the pictures: skip the checks for faces, glasses and pose, and for minors where the list has no age.
    #[arg(long)]
    no_check: bool,
    /// Mark the study as one that nobody answers.
    #[arg(long)]
    simulated: bool,
}

/// What was drawn.
#[derive(Serialize)]
struct Drawn {
    study: PathBuf,
    targets: usize,
    triplets: usize,
    samples: usize,
    pictures: usize,
    dummies: usize,
    dummies_of_two_photos: usize,
    practice: usize,
    passed_over: BTreeMap<String, usize>,
    /// Faces nobody checked for age: the list has none and --no-check was given.
    ages_unknown: bool,
}

impl Design {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        if self.out.join(FILE_NAME).exists() {
            let reason = format!("{} has a study already; choose another folder", self.out.display());
            return Err(perface::Error::Usage(reason).into());
        }
        let overrides = self.overrides.as_deref().map(celeba::read_overrides).transpose()?.unwrap_or_default();
        let targets = face_list::read(&self.faces, &self.columns, &overrides)?;
        let sources = match &self.sources {
            Some(folder) => face_list::read(folder, &ColumnNames::default(), &[])?,
            None => targets.clone(),
        };
        let picks = self.pick.as_deref().map(face_list::read_picks).transpose()?.unwrap_or_default();
        std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        let absolute = |path: &Path| path.canonicalize().with_context(|| path.display().to_string());
        let folder = absolute(&self.out)?;
        let (mut targets, mut sources) = (targets, sources);
        targets.folder = absolute(&targets.folder)?;
        sources.folder = absolute(&sources.folder)?;
        let options = DesignOptions {
            targets: self.targets,
            triplets: self.triplets,
            same_gender: self.same_gender,
            dummies: self.dummies,
            practice: self.practice,
            max_yaw_deg: self.max_yaw,
            seed: self.seed,
            rules: Rules {
                k: self.k,
                allowed_misses: self.allowed_misses,
                min_ms: self.min_ms,
                dummy_every: self.dummy_every,
                repeat_every: self.repeat_every,
                per_person: self.per_person,
            },
        };
        let known_adults: std::collections::HashSet<PathBuf> = [&targets, &sources]
            .iter()
            .flat_map(|list| list.faces.iter().filter(|f| f.age_years.is_some()).map(|f| list.folder.join(&f.image)))
            .collect();
        let checker = if self.no_check { None } else { Some(Checker::new(common)?) };
        let expected = self.targets + 3 * self.triplets + 2 * (self.dummies + self.practice);
        let bar = progress::bar(expected, "faces", common.quiet);
        // Who picks faces by hand has looked at them.
        let max_turn_rad = self.pick.is_none().then(|| self.max_yaw.to_radians());
        let mut check = |path: &Path| {
            bar.inc(1);
            match &checker {
                Some(checker) => checker.check(path, known_adults.contains(path), max_turn_rad),
                None => Ok(None),
            }
        };
        let (mut study, passed_over) = design::design(&targets, &sources, &picks, &options, &folder, &mut check)?;
        bar.finish_and_clear();
        study.simulated = self.simulated;
        study.write(&self.out, Overwrite::Never)?;
        texts::write_missing(&self.out)?;
        let of_kind = |kind| study.of_kind(kind).count();
        let dummies = study.triplets.iter().filter(|t| t.id.starts_with('d'));
        let drawn = Drawn {
            study: self.out.join(FILE_NAME),
            targets: study.targets.len(),
            triplets: study.triplets.iter().filter(|t| t.id.starts_with('s')).count(),
            samples: of_kind(SampleKind::Real),
            pictures: 3 * study.samples.len(),
            dummies: of_kind(SampleKind::Dummy),
            dummies_of_two_photos: dummies.filter(|t| t.variant.is_none()).count(),
            practice: of_kind(SampleKind::Practice),
            passed_over: passed_over.into_iter().collect(),
            ages_unknown: self.no_check && targets.faces.iter().chain(&sources.faces).any(|f| f.age_years.is_none()),
        };
        output::print(common.json, &drawn, Drawn::to_text)?;
        Ok(Outcome::Done)
    }
}

impl Drawn {
    fn to_text(&self) -> String {
        let mut text = format!(
            "{}: {} targets × {} source triplets = {} samples of {} pictures, {} dummies ({} of two photos of one person), {} for practice\n",
            self.study.display(),
            self.targets,
            self.triplets,
            self.samples,
            self.pictures,
            self.dummies,
            self.dummies_of_two_photos,
            self.practice
        );
        for (reason, count) in &self.passed_over {
            text += &format!("passed over {count}: {reason}\n");
        }
        if self.ages_unknown {
            text += "nobody checked that all are grown up: the list has no ages and the pictures were not looked at\n";
        }
        text + "next: perface study render"
    }
}

/// Looks at faces before they are drawn.
struct Checker {
    reader: Reader,
    attributes: AttributeReader,
}

impl Checker {
    fn new(common: &Common) -> Result<Self> {
        let session = Session::open(common)?;
        Ok(Self { reader: session.reader(DEFAULT_MODEL)?, attributes: session.attributes()? })
    }

    /// Why the face in `path` cannot be used, if so; with `max_turn_rad` also because of glasses or its pose.
    fn check(&self, path: &Path, known_adult: bool, max_turn_rad: Option<f32>) -> perface::Result<Option<String>> {
        let picture = match photo::read(path, &Limits::default()) {
            Ok(photo) => photo.pixels,
            Err(_) => return Ok(Some("picture missing or unreadable".to_owned())),
        };
        let Some(face) = self.reader.main_face(&picture)? else { return Ok(Some("no face was found".to_owned())) };
        let Some(mesh) = self.reader.mesher.mesh(&picture, &face)? else {
            return Ok(Some("no face mesh could be laid".to_owned()));
        };
        if let Some(max_turn_rad) = max_turn_rad {
            match Look::of(&picture, &mesh) {
                Some(look) if look.off_axis_rad <= max_turn_rad && !look.glasses => {}
                Some(look) if look.glasses => return Ok(Some("seems to wear glasses".to_owned())),
                _ => return Ok(Some("turned away".to_owned())),
            }
        }
        if !known_adult && self.attributes.read(&picture, &face)?.may_be_minor() {
            return Ok(Some("may be under 18".to_owned()));
        }
        Ok(None)
    }
}
