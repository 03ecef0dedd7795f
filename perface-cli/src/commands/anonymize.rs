//! `perface anonymize`: photos in, photos without their people out.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use perface::anonymize::{Anonymizer, Timings};
use perface::atomic::{self, Overwrite};
use perface::batch::{self, BatchOptions, Event, OnFailure};
use perface::detect::DetectorOptions;
use perface::draw::Seed;
use perface::embedding::Embedding;
use perface::model::licence::{self, Use};
use perface::natural::Natural;
use perface::people::{self, BroughtFace, Whom};
use perface::photo::{self, Limits};
use perface::pool::Pool;
use perface::rank::{DEFAULT_BOTTOM, Pick, PickOptions};
use perface::replace::{DEFAULT_RERANK, DEFAULT_TRIES, ReplaceOptions, Replacer};
use perface::report::html::{self, PageOptions};
use perface::report::{self, ModelRecord, PeopleSummary, PhotoRecord, Report, SkippedRecord, Status, Summary};
use perface::swap::neural;
use perface::table::{ColumnNames, Table};
use perface::tree;
use serde_json::{Value, json};

use super::group::GroupArgs;
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::{BUILT_IN_ENGINE, MaskNames, Session};

/// Options of `anonymize`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface anonymize photos/ --out out/\n  perface anonymize photos/ --out out/ --engine none      \
                        cover every head, replace nobody\n  perface anonymize team.jpg --out out/ --keep team.jpg#2   leave the \
                        second face from the left"
)]
pub struct Anonymize {
    /// Photos or folders.
    #[arg(required = true)]
    pub photos: Vec<PathBuf>,
    /// Folder for the results; the report goes beside it, to OUT.report.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What takes a face's place: another face bent into the photo's pose, expression and light (warp), a solid fill over
    /// every head (none), or an engine whose files you added; see docs/models.md.
    #[arg(long, default_value = BUILT_IN_ENGINE, value_parser = engine_names())]
    pub engine: String,
    /// Beside the engine's own mask, keep to the hull of the face (hull), to what a parser takes for face (region), to
    /// what nothing stands before (occlusion). Not for warp, which has its own.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MASKS")]
    pub mask: Vec<MaskName>,
    /// Move the colours of an engine's result onto the photo's.
    #[arg(long)]
    pub match_colour: bool,
    /// What the results are for; weights that do not allow it are refused.
    #[arg(long = "use", value_enum, default_value_t = UseName::Commercial, value_name = "PURPOSE")]
    pub purpose: UseName,
    #[command(flatten)]
    pub group: GroupArgs,
    /// Recognisers that must not know a result, beside --model [default: all that are installed and know their
    /// threshold]; none for --model alone.
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    pub gates: Vec<String>,
    /// Which candidate is tried first: one drawn among the least similar, or always the very least (the paper's rule).
    #[arg(long, value_enum, default_value_t = PickName::Draw)]
    pub pick: PickName,
    /// Among how many of the least similar candidates to draw.
    #[arg(long, default_value_t = DEFAULT_BOTTOM, value_name = "N")]
    pub bottom: usize,
    /// Most tries of one face before it is covered. Half of what is left goes to each search: the usual shape, exaggerated
    /// shapes, then the other age of the same gender.
    #[arg(long, default_value_t = DEFAULT_TRIES, value_name = "N")]
    pub tries: usize,
    /// Among how many tries to keep the best result; 1 takes the first that is hidden and is faster.
    #[arg(long, default_value_t = DEFAULT_RERANK, value_name = "N")]
    pub rerank: usize,
    /// How natural: strict (near skin tones, own age group and no visible edge, or covered), normal (fitting skin tones
    /// first) or off (least similar first, whatever it looks like). Not with strict, glasses that tell who it is are
    /// exchanged for others.
    #[arg(long, default_value_t = Natural::default(), value_name = "HOW")]
    pub natural: Natural,
    /// Seed of all draws, for repeating a run; keep it secret [default: a new random one].
    #[arg(long)]
    pub seed: Option<Seed>,
    /// Leave a face as it is: photo and number from the left, as --dry-run shows them. May be repeated.
    /// With a photo that is not among those to be anonymised, leave everybody who is on it, wherever they are.
    #[arg(long, value_name = "PHOTO#N|PHOTO")]
    pub keep: Vec<String>,
    /// Replace only the people on this photo and leave everybody else. May be repeated.
    #[arg(long, value_name = "PHOTO", conflicts_with = "keep")]
    pub only: Vec<PathBuf>,
    /// Faces found elsewhere: a list with the columns image, left_px, top_px, right_px, bottom_px and perhaps ten of
    /// landmarks (docs/data.md). They are protected beside those found here.
    #[arg(long, value_name = "FILE")]
    pub boxes: Option<PathBuf>,
    /// Give one person another face on every photo, so that results of one person share no candidate; by default they share
    /// one wherever it hides the person.
    #[arg(long)]
    pub unlinkable: bool,
    /// Who is on a photo and contributed to the pool: a list with the columns image and person, the person as in the
    /// pool's `contributors`. Nobody made from these people stands in on the photo.
    #[arg(long, value_name = "FILE")]
    pub exclude_contributors: Option<PathBuf>,
    /// Do not say in the files that they are composites.
    #[arg(long)]
    pub no_provenance: bool,
    /// Show the photos as they were in the report's page, too.
    #[arg(long)]
    pub include_originals: bool,
    /// Write a version of the report that may be published: no names, seeds, candidates or pictures.
    #[arg(long)]
    pub public: bool,
    /// Only look: write a sheet of what was found, for a person to review.
    #[arg(long)]
    pub dry_run: bool,
    /// Photos worked on side by side [default: one for each core].
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Count as a face what the detector scores from here on, in [0, 1].
    #[arg(long, default_value_t = DetectorOptions::default().min_score)]
    pub min_score: f32,
    /// What to do where a face could not be replaced.
    #[arg(long, value_enum, default_value_t = OnFailureName::Obscure)]
    pub on_failure: OnFailureName,
    /// Write photos in which no face was found, too. Look at them first: a face may have been missed.
    #[arg(long)]
    pub allow_no_face: bool,
    /// Go on with a run that was interrupted.
    #[arg(long)]
    pub resume: bool,
    /// Replace files in OUT.
    #[arg(long)]
    pub overwrite: bool,
}

/// Covers every head and replaces nobody.
const COVERING_ENGINE: &str = "none";

fn engine_names() -> clap::builder::PossibleValuesParser {
    let known = neural::card::engines().into_iter().map(|engine| engine.name);
    [BUILT_IN_ENGINE, COVERING_ENGINE].into_iter().chain(known).collect::<Vec<_>>().into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MaskName {
    /// The hull of the mesh.
    Hull,
    /// What BiSeNet takes for face in the result.
    Region,
    /// What XSeg takes for unobstructed in the photo.
    Occlusion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UseName {
    /// Anything, selling included.
    Commercial,
    /// Research that earns nothing.
    Research,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PickName {
    /// One drawn among the --bottom least similar.
    Draw,
    /// The least similar.
    Least,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailureName {
    /// Cover the head with a solid fill.
    Obscure,
    /// Do not write the photo.
    Drop,
    /// Stop.
    Fail,
}

/// Parses what a user would type, so that defaults are said once.
#[derive(clap::Parser)]
struct Defaults {
    #[command(flatten)]
    anonymize: Anonymize,
}

impl Anonymize {
    /// With the defaults of the command line.
    pub fn of(photos: Vec<PathBuf>, out: PathBuf) -> Result<Self> {
        let mut words = vec![std::ffi::OsString::from("anonymize"), "--out".into(), out.into()];
        words.push("--".into());
        words.extend(photos.into_iter().map(Into::into));
        Ok(<Defaults as clap::Parser>::try_parse_from(words)?.anonymize)
    }

    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let inputs = tree::inputs(&self.photos, Some(&self.out))?;
        if inputs.photos.is_empty() && inputs.failed.is_empty() {
            return Err(perface::Error::Usage("no photo was found in what was named".to_owned()).into());
        }
        let session = Session::open(common)?;
        if self.dry_run {
            return super::dry_run::run(self, &session, &inputs, common);
        }
        let folder = batch::report_folder(&self.out);
        let seed = self.seed(&folder)?;
        let setup = self.setup(&session, seed)?;
        let Setup { anonymizer, config, models, pool } = setup;
        let options = BatchOptions {
            jobs: self.jobs.unwrap_or(BatchOptions::default().jobs),
            on_failure: match self.on_failure {
                OnFailureName::Obscure => OnFailure::Obscure,
                OnFailureName::Drop => OnFailure::Drop,
                OnFailureName::Fail => OnFailure::Fail,
            },
            allow_no_face: self.allow_no_face,
            overwrite: self.overwrite,
            resume: self.resume,
            keep: self.kept(&inputs.photos)?,
            whom: self.whom(&anonymizer)?,
            brought: self.brought(&inputs.photos)?,
            contributors: self.contributors(&inputs.photos, pool.as_ref())?,
            provenance: !self.no_provenance,
            ..Default::default()
        };
        // Each photo is read once and then worked on once.
        let steps = if anonymizer.replaces() { 2 * inputs.photos.len() } else { inputs.photos.len() };
        let bar = progress::bar(steps, "steps", common.quiet);
        let lines = bar.is_hidden() && !common.quiet;
        let on = |event: Event| {
            bar.inc(1);
            if let (true, Event::Finished(record)) = (lines, event) {
                eprintln!("{}", describe(record));
            }
        };
        let stop = AtomicBool::new(false);
        let mut photos = batch::run(&anonymizer, &inputs.photos, &self.out, &config, &options, &stop, &on)?;
        bar.finish_and_clear();
        photos.extend(inputs.failed.iter().map(|error| unreadable(error.to_string())));
        let report = Report {
            schema: report::SCHEMA,
            tool: format!("perface {}", env!("CARGO_PKG_VERSION")),
            runtime: session.runtime.name().to_owned(),
            config,
            models,
            summary: Summary::of(&photos),
            timings_ms: report::total_timings(&photos),
            people: PeopleSummary::of(&photos),
            photos,
            skipped: inputs.skipped.iter().map(SkippedRecord::from).collect(),
        };
        self.write_report(&report, &folder, pool.as_ref())?;
        output::print(common.json, &report, |report| summary(report, &self.out, &folder))?;
        Ok(outcome(&report.summary, anonymizer.replaces()))
    }
}

/// What a run needs before the first photo is read.
pub struct Setup {
    /// The line.
    pub anonymizer: Anonymizer,
    /// What shapes the pictures, for journal and report.
    pub config: Value,
    /// The networks in use.
    pub models: Vec<ModelRecord>,
    /// The faces that may stand in, unless heads are only covered.
    pub pool: Option<Pool>,
}

impl Anonymize {
    /// The seed given, or that of the run to resume, or a new one.
    fn seed(&self, report_folder: &Path) -> Result<Seed> {
        if let Some(seed) = self.seed {
            return Ok(seed);
        }
        let earlier = if self.resume { batch::journal_config(report_folder) } else { None };
        let revealed = earlier.as_ref().and_then(|config| config.get("seed")).and_then(Value::as_str);
        Ok(match revealed.and_then(|text| text.parse().ok()) {
            Some(seed) => seed,
            None => Seed::random()?,
        })
    }

    /// Write report.json and report.html, and what may be published if that was asked for.
    fn write_report(&self, report: &Report, folder: &Path, pool: Option<&Pool>) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| {
            atomic::write(&folder.join(name), bytes, Overwrite::Always).context("the report could not be written")
        };
        write("report.json", &serde_json::to_vec_pretty(report)?)?;
        let options = PageOptions { include_originals: self.include_originals, pool, ..PageOptions::new(&self.out) };
        write("report.html", html::html(report, &options).as_bytes())?;
        if self.public {
            write("report.public.json", &serde_json::to_vec_pretty(&report.public())?)?;
            write("report.public.html", html::public_html(report).as_bytes())?;
        }
        Ok(())
    }

    fn setup(&self, session: &Session, seed: Seed) -> Result<Setup> {
        let detector = session.detector(DetectorOptions { min_score: self.min_score, ..Default::default() })?;
        let mut config =
            json!({ "engine": COVERING_ENGINE, "min_score": self.min_score, "keep": self.keep, "boxes": self.boxes });
        let mut models = vec![ModelRecord::from(&session.store.card("yunet")?)];
        if self.engine == COVERING_ENGINE {
            return Ok(Setup { anonymizer: Anonymizer::covering(detector), config, models, pool: None });
        }
        let gates = if self.gates.is_empty() { session.installed_gates()? } else { self.gates.clone() };
        let besides = |name: &&str| *name != self.group.model && *name != "none";
        let names: BTreeSet<&str> = gates.iter().map(String::as_str).filter(besides).collect();
        let gates = std::iter::once(self.group.model.as_str())
            .chain(names)
            .map(|name| session.gate(name))
            .collect::<Result<Vec<_>>>()?;
        let card = session.store.card(&self.group.model)?;
        let candidates = session.candidates(self.group.pool.as_deref(), session.reader(&self.group.model)?)?;
        let held_out = candidates.pool().record().held_out(&card.sha256, &self.group.group_distance.to_string());
        let (group_by, because) = self.group.group_by.resolve(held_out);
        for name in ["facemesh", "gender", "age"] {
            models.push(ModelRecord::from(&session.store.card(name)?));
        }
        models.extend(gates.iter().map(|gate| ModelRecord::from(gate.embedder.card())));
        let masks = MaskNames {
            hull: self.mask.contains(&MaskName::Hull),
            region: self.mask.contains(&MaskName::Region),
            occlusion: self.mask.contains(&MaskName::Occlusion),
        };
        let (swapper, engine_cards) = session.engine(&self.engine, masks, self.match_colour)?;
        let purpose = match self.purpose {
            UseName::Commercial => Use::Commercial,
            UseName::Research => Use::Research,
        };
        licence::check(engine_cards.iter().chain(gates.iter().map(|gate| gate.embedder.card())), purpose)?;
        models.extend(engine_cards.iter().map(ModelRecord::from));
        let pick = match self.pick {
            PickName::Least => Pick::Least,
            PickName::Draw => Pick::Draw { bottom: self.bottom },
        };
        let options = ReplaceOptions {
            seed,
            group_distance: self.group.group_distance,
            group_set: self.group.groups,
            group_by,
            pick: PickOptions { pick, ..Default::default() },
            tries: self.tries,
            rerank: self.rerank,
            natural: self.natural,
            unlinkable: self.unlinkable,
        };
        let shaping = json!({
            "engine": self.engine,
            "masks": self.mask.iter().map(|mask| format!("{mask:?}").to_lowercase()).collect::<Vec<_>>(),
            "match_colour": self.match_colour,
            "use": purpose,
            "only": self.only,
            "model": card.name,
            "similarity": card.similarity,
            "same_person_cosine": gates.first().map(|gate| gate.same_person_cosine),
            "gates": gates.iter().map(|gate| gate.embedder.card().name.clone()).collect::<Vec<_>>(),
            "pool": candidates.pool().folder(),
            "pool_faces": candidates.pool().members().len(),
            "group_distance": options.group_distance.to_string(),
            "groups": options.group_set,
            "group_by": group_by,
            "group_by_because": because,
            "pick": pick,
            "tries": self.tries,
            "rerank": self.rerank,
            "natural": self.natural,
            "unlinkable": self.unlinkable,
            "exclude_contributors": self.exclude_contributors,
            "runtime": session.runtime.name(),
            "seed": seed.reveal(),
        });
        if let (Value::Object(config), Value::Object(shaping)) = (&mut config, shaping) {
            config.extend(shaping);
        }
        let pool = Some(candidates.pool().clone());
        let replacer = Replacer {
            detector: detector.clone(),
            mesher: perface::mesh::Mesher::new(session.load("facemesh")?.1),
            swapper,
            gates,
            attributes: Some(session.attributes()?),
            candidates,
            options,
        };
        Ok(Setup { anonymizer: Anonymizer::replacing(detector, replacer), config, models, pool })
    }

    /// Whom to replace, as --keep PHOTO or --only PHOTO say.
    fn whom(&self, anonymizer: &Anonymizer) -> Result<Whom> {
        let of = |paths: &mut dyn Iterator<Item = PathBuf>| -> Result<Vec<Vec<Embedding>>> {
            let mut people = Vec::new();
            for path in paths {
                let photo = photo::read(&path, &Limits::default())?;
                let survey = anonymizer.survey(&photo, &mut Timings::default())?;
                let known = survey.subjects.into_iter().filter_map(Result::ok).map(|subject| subject.embeddings);
                let before = people.len();
                people.extend(known);
                if people.len() == before {
                    let reason = format!("{}: nobody on it can be recognised", path.display());
                    return Err(perface::Error::Usage(reason).into());
                }
            }
            Ok(people)
        };
        let keep: Vec<PathBuf> = self.keep.iter().filter(|named| is_photo(named)).map(PathBuf::from).collect();
        let named = keep.len() + self.only.len();
        if named > 0 && !anonymizer.replaces() {
            let reason = "to tell people apart, faces must be read; --engine none does not read them";
            return Err(perface::Error::Usage(reason.to_owned()).into());
        }
        Ok(match (keep.is_empty(), self.only.is_empty()) {
            (false, _) => Whom::Except(of(&mut keep.into_iter())?),
            (true, false) => Whom::Only(of(&mut self.only.iter().cloned())?),
            (true, true) => Whom::Everyone,
        })
    }

    /// The faces of --boxes, by the file they are in.
    fn brought(&self, photos: &[tree::Input]) -> Result<HashMap<PathBuf, Vec<BroughtFace>>> {
        let Some(list) = &self.boxes else { return Ok(HashMap::new()) };
        let brought = people::read_faces(list, &ColumnNames::default(), Path::new(""))?;
        let mut by_source: HashMap<PathBuf, Vec<BroughtFace>> = HashMap::new();
        for (image, faces) in brought {
            match named(photos, &image)? {
                Some(photo) => by_source.entry(photo.source.clone()).or_default().extend(faces),
                None => eprintln!("perface: {}: no such photo in this run; its boxes are not used", image.display()),
            }
        }
        Ok(by_source)
    }

    /// The people of --exclude-contributors, by the file they are on.
    fn contributors(&self, photos: &[tree::Input], pool: Option<&Pool>) -> Result<HashMap<PathBuf, BTreeSet<String>>> {
        let Some(list) = &self.exclude_contributors else { return Ok(HashMap::new()) };
        let pool = pool.ok_or_else(|| {
            perface::Error::Usage(
                "--exclude-contributors is of no use with --engine none, which uses no pool".to_owned(),
            )
        })?;
        let contributors: BTreeSet<&str> =
            pool.members().iter().flat_map(|member| member.contributors.iter().map(String::as_str)).collect();
        let table = Table::read(list, &ColumnNames::default(), &["image", "person"])?;
        let mut by_source: HashMap<PathBuf, BTreeSet<String>> = HashMap::new();
        let mut strangers = BTreeSet::new();
        for row in table.rows() {
            let (image, person) = (Path::new(row.get("image")), row.get("person"));
            if !contributors.contains(person) {
                strangers.insert(person.to_owned());
            }
            match named(photos, image)? {
                Some(photo) => drop(by_source.entry(photo.source.clone()).or_default().insert(person.to_owned())),
                None => eprintln!("perface: {}: no such photo in this run", image.display()),
            }
        }
        if !strangers.is_empty() {
            let names = strangers.iter().map(String::as_str).take(10).collect::<Vec<_>>().join(", ");
            eprintln!("perface: {} of the people named contributed to no face of the pool: {names}", strangers.len());
        }
        Ok(by_source)
    }

    /// The faces named by --keep, by the file they are in.
    fn kept(&self, photos: &[tree::Input]) -> Result<HashMap<PathBuf, BTreeSet<usize>>> {
        let mut kept: HashMap<PathBuf, BTreeSet<usize>> = HashMap::new();
        for named in self.keep.iter().filter(|named| !is_photo(named)) {
            let usage = |reason: String| perface::Error::Usage(format!("--keep {named}: {reason}"));
            let (name, number) =
                named.rsplit_once('#').ok_or_else(|| usage("is not of the form PHOTO#N".to_owned()))?;
            let number: usize = number.parse().map_err(|_| usage("N is the number of a face, from 1".to_owned()))?;
            let index = number.checked_sub(1).ok_or_else(|| usage("faces are counted from 1".to_owned()))?;
            let matching = photos.iter().filter(|p| p.source == Path::new(name) || p.output == Path::new(name));
            let matching: Vec<_> = matching.collect();
            match matching.as_slice() {
                [one] => kept.entry(one.source.clone()).or_default().insert(index),
                [] => return Err(usage("no such photo in this run".to_owned()).into()),
                _ => return Err(usage("more than one photo has this name; give its whole path".to_owned()).into()),
            };
        }
        Ok(kept)
    }
}

/// The photo that a list calls `image`: by its path, or by its path inside the folder that was given.
fn named<'a>(photos: &'a [tree::Input], image: &Path) -> Result<Option<&'a tree::Input>> {
    let mut matching = photos.iter().filter(|p| p.source == image || p.output == image);
    match (matching.next(), matching.next()) {
        (found, None) => Ok(found),
        _ => {
            let reason = format!("{}: more than one photo has this name; give its whole path", image.display());
            Err(perface::Error::Usage(reason).into())
        }
    }
}

/// Whether a word of --keep names a photo, not a face of one.
fn is_photo(named: &str) -> bool {
    Path::new(named).is_file()
}

/// Faces covered because covering was asked for are no reason to look twice; those that could not be replaced are.
fn outcome(summary: &Summary, replaces: bool) -> Outcome {
    if summary.unreadable > 0 {
        Outcome::SomeUnreadable
    } else if summary.no_face > 0 || summary.dropped > 0 || (replaces && summary.obscured > 0) {
        Outcome::SomeObscured
    } else {
        Outcome::Done
    }
}

fn unreadable(note: String) -> PhotoRecord {
    PhotoRecord {
        input: note.split(": ").next().unwrap_or_default().to_owned(),
        output: None,
        status: Status::Unreadable,
        notes: vec![note],
        size_px: None,
        faces: Vec::new(),
        timings_ms: Default::default(),
    }
}

fn describe(record: &PhotoRecord) -> String {
    let what = match record.status {
        Status::Done => format!("{} faces", record.faces.len()),
        Status::NoFace => "no face".to_owned(),
        Status::Unreadable => return record.notes.join("; "),
        Status::Dropped => "not written: a face could not be replaced".to_owned(),
    };
    format!("{}: {what}", record.input)
}

fn summary(report: &Report, out: &std::path::Path, folder: &std::path::Path) -> String {
    let Summary { photos, faces, replaced, obscured, kept, no_face, dropped, unreadable } = report.summary;
    let mut text = format!(
        "{photos} photos, {faces} faces: {replaced} replaced, {obscured} obscured, {kept} kept\n\
         {no_face} without a face, {dropped} dropped, {unreadable} unreadable\n"
    );
    if let Some(PeopleSummary { people, replaced, shared }) = report.people {
        text += &format!(
            "{people} people on several photos: {shared} of their {replaced} new faces are the person's own\n"
        );
    }
    for photo in report.photos.iter().filter(|photo| photo.status != Status::Done) {
        text += &format!("  {}\n", describe(photo));
    }
    text += &passed_over(&report.skipped);
    text += &format!("photos: {}\nreport, confidential: {}\n", out.display(), folder.join("report.html").display());
    text
}

/// What was passed over, for whoever thinks that a whole folder was done: each picture or film that cannot be read, and
/// how many other files.
fn passed_over(skipped: &[SkippedRecord]) -> String {
    let (named, others): (Vec<_>, Vec<_>) = skipped.iter().partition(|s| s.reason == tree::UNSUPPORTED);
    let mut text = String::new();
    for record in named.iter().take(MAX_PASSED_OVER) {
        text += &format!("  {}: {}, nothing was written\n", record.path, record.reason);
    }
    if let Some(more) = named.len().checked_sub(MAX_PASSED_OVER).filter(|more| *more > 0) {
        text += &format!("  and {more} more of formats not supported\n");
    }
    if !others.is_empty() {
        text += &format!("  {} other files and folders were passed over; the report names them\n", others.len());
    }
    text
}

/// How many files of formats not supported are named on the terminal.
const MAX_PASSED_OVER: usize = 20;
