//! Anonymise many files: side by side, in a fixed order, going on past bad ones and after an interruption.
//!
//! Each finished photo is one line of `journal.jsonl` in the report folder, written after the photo itself is safe
//! on the disk. A run that is killed can therefore be resumed, and its report is the same as if it had not been.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::anonymize::{Anonymizer, Orders, Survey, Timings};
use crate::atomic::{self, Overwrite};
use crate::cover;
use crate::error::{Error, Result};
use crate::model::pack::sha256_hex;
use crate::originals::{FaceKey, Gathering, MAX_ORIGINALS, Originals};
use crate::people::{self, BroughtFace, Whom};
use crate::photo::{self, Limits, Photo};
use crate::pool::{Group, PixelHash};
use crate::replace::Subject;
use crate::report::{PhotoRecord, Status, Verdict};
use crate::settle::{self, Settled};
use crate::tree::Input;

/// Name of the journal in the report folder.
pub const JOURNAL: &str = "journal.jsonl";

/// No journal line is longer; a face takes about 1 kB.
const MAX_LINE_BYTES: usize = 16 << 20;

/// What to do with a photo in which a face could not be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Cover that face and write the photo.
    #[default]
    Obscure,
    /// Do not write the photo.
    Drop,
    /// Stop the run.
    Fail,
}

/// How a batch is run.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Photos worked on side by side; at least one.
    pub jobs: usize,
    /// How large files and pictures may be.
    pub limits: Limits,
    /// What to do where a face could not be replaced.
    pub on_failure: OnFailure,
    /// Whether to write photos in which no face was found. They may hold one that was missed.
    pub allow_no_face: bool,
    /// Whether outputs that exist are replaced.
    pub overwrite: bool,
    /// Whether to go on from the journal of an earlier run.
    pub resume: bool,
    /// Faces to leave as they are: places from 0, left to right, by the file that was read.
    pub keep: HashMap<PathBuf, BTreeSet<usize>>,
    /// Whom to replace, by what they look like.
    pub whom: Whom,
    /// Faces found elsewhere, by the file that was read.
    pub brought: HashMap<PathBuf, Vec<BroughtFace>>,
    /// People of each photo who contributed to the pool, by the file that was read: nobody made from them stands in there.
    pub contributors: HashMap<PathBuf, BTreeSet<String>>,
    /// Whether photos with a replaced face say that they are composites; see [`photo::provenance`].
    pub provenance: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            limits: Limits::default(),
            on_failure: OnFailure::default(),
            allow_no_face: false,
            overwrite: false,
            resume: false,
            keep: HashMap::new(),
            whom: Whom::default(),
            brought: HashMap::new(),
            contributors: HashMap::new(),
            provenance: true,
        }
    }
}

/// A step of a run.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// One more photo was read.
    Surveyed,
    /// One more photo is finished.
    Finished(&'a PhotoRecord),
}

/// One line of the journal.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// SHA-256 of the input file.
    input_sha256: String,
    /// SHA-256 of what was written; absent if nothing was.
    output_sha256: Option<String>,
    record: PhotoRecord,
}

/// First line of the journal.
#[derive(Serialize, Deserialize, PartialEq)]
struct Header {
    /// Everything that shapes the pictures, seed included: a run goes on only under the same.
    config: serde_json::Value,
}

/// The folder beside `out` for its report: `out.report`.
pub fn report_folder(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(crate::tree::REPORT_SUFFIX);
    out.with_file_name(name)
}

/// The configuration of the run whose journal is in `folder`, if there is one.
pub fn journal_config(folder: &Path) -> Option<serde_json::Value> {
    let mut lines = BufReader::new(File::open(folder.join(JOURNAL)).ok()?).lines();
    let header: Header = serde_json::from_str(&lines.next()?.ok()?).ok()?;
    Some(header.config)
}

/// Anonymise `inputs` into the folder `out`.
///
/// All photos are read once before the first is changed, because results are compared with everyone of the run.
///
/// `config` is what shapes the pictures, for the journal. `on` is told of each step, from any thread,
/// in no fixed order. Once `stop` is set, no further photo is begun. The records come in the order of `inputs`;
/// those not begun are missing.
///
/// # Errors
/// If the report folder cannot be written, the journal belongs to a run with another configuration, or a face could
/// not be replaced under [`OnFailure::Fail`]. A photo that cannot be read is no error but a record.
pub fn run(
    anonymizer: &Anonymizer,
    inputs: &[Input],
    out: &Path,
    config: &serde_json::Value,
    options: &BatchOptions,
    stop: &AtomicBool,
    on: &(dyn Fn(Event) + Sync),
) -> Result<Vec<PhotoRecord>> {
    let folder = report_folder(out);
    let done = if options.resume { read_journal(&folder, config)? } else { HashMap::new() };
    let journal = Mutex::new(open_journal(&folder, config, options.resume && !done.is_empty())?);
    let read = survey_all(anonymizer, inputs, options, stop, on);
    let (surveys, settled) = settle_all(anonymizer, inputs, options, read, stop);
    let slots: Vec<Mutex<Option<PhotoRecord>>> = inputs.iter().map(|_| Mutex::new(None)).collect();
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    side_by_side(options.jobs, inputs.len(), |index| {
        let (Some(input), Some(slot)) = (inputs.get(index), slots.get(index)) else { return };
        if stop.load(Ordering::Relaxed) || lock(&failure).is_some() {
            return;
        }
        let surveyed = surveys.get(index).and_then(|survey| lock(survey).take());
        let finished = match still_done(&done, input, out) {
            Some(entry) => Ok(entry.record.clone()),
            None => one(anonymizer, input, out, options, surveyed, &settled).and_then(|entry| {
                append(&journal, &folder, &entry)?;
                Ok(entry.record)
            }),
        };
        match finished {
            Ok(record) => {
                on(Event::Finished(&record));
                *lock(slot) = Some(record);
            }
            Err(error) => *lock(&failure) = Some(error),
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(slots.into_iter().filter_map(|s| s.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()),
    }
}

/// Do `work` for each number below `count`, in order but side by side.
fn side_by_side(jobs: usize, count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            work(index);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(worker);
        }
    });
}

/// What the first reading of all photos gave.
struct Read {
    /// For each input what is in it; `None` if it could not be read, or if so many faces are known already that the rest is
    /// read again when it is needed.
    surveys: Surveys,
    /// Everyone.
    originals: Originals,
    /// In which input each photo is, and which of its faces are to be replaced by whom.
    photos: BTreeMap<PixelHash, ReadPhoto>,
}

type Surveys = Vec<Mutex<Option<(Survey, Timings)>>>;

/// What is remembered of a photo that was read.
struct ReadPhoto {
    /// Place of its input.
    input: usize,
    /// The faces to replace and the group each would get.
    groups: BTreeMap<usize, Group>,
    /// Places in the pool of those who may not stand in.
    barred: BTreeSet<usize>,
}

/// Faces whose reading is kept from the first look at a photo to the second: about 30 MB.
const MAX_KEPT_FACES: usize = MAX_ORIGINALS;

/// Read all photos, so that everyone of the run is known before the first face is replaced.
fn survey_all(
    anonymizer: &Anonymizer,
    inputs: &[Input],
    options: &BatchOptions,
    stop: &AtomicBool,
    on: &(dyn Fn(Event) + Sync),
) -> Read {
    let surveys: Vec<Mutex<Option<_>>> = inputs.iter().map(|_| Mutex::new(None)).collect();
    if !anonymizer.replaces() {
        return Read { surveys, originals: Originals::default(), photos: BTreeMap::new() };
    }
    let gathering = Mutex::new(Gathering::default());
    let photos = Mutex::new(BTreeMap::new());
    let kept = AtomicUsize::new(0);
    side_by_side(options.jobs, inputs.len(), |index| {
        let (Some(input), Some(slot)) = (inputs.get(index), surveys.get(index)) else { return };
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // What fails here fails again, and is told, when it is this photo's turn.
        let surveyed = catch_unwind(AssertUnwindSafe(|| -> Result<_> {
            let mut timings = Timings::default();
            let photo = timings.time("read", || photo::read(&input.source, &options.limits))?;
            Ok((survey(anonymizer, input, options, &photo, &mut timings)?, timings))
        }));
        if let Ok(Ok(surveyed)) = surveyed {
            surveyed.0.add_to(&mut lock(&gathering));
            let Orders { keep, barred } = orders(anonymizer, input, options, &surveyed.0);
            let group = |(place, subject): (usize, &Result<Subject, _>)| Some((place, subject.as_ref().ok()?.group));
            let groups = surveyed.0.subjects.iter().enumerate().filter_map(group);
            let groups = groups.filter(|(place, _)| !keep.contains(place)).collect();
            let photo = ReadPhoto { input: index, groups, barred };
            // Of one picture in several files the first counts, whichever was read first.
            let mut photos = lock(&photos);
            if photos.get(&surveyed.0.photo).is_none_or(|other: &ReadPhoto| index < other.input) {
                photos.insert(surveyed.0.photo, photo);
            }
            if kept.fetch_add(surveyed.0.faces.len(), Ordering::Relaxed) < MAX_KEPT_FACES {
                *lock(slot) = Some(surveyed);
            }
        }
        on(Event::Surveyed);
    });
    let originals = gathering.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    Read { surveys, originals, photos: photos.into_inner().unwrap_or_else(PoisonError::into_inner) }
}

/// Settle who stands in for people on several photos.
fn settle_all(
    anonymizer: &Anonymizer,
    inputs: &[Input],
    options: &BatchOptions,
    read: Read,
    stop: &AtomicBool,
) -> (Surveys, Settled) {
    let Some(replacer) = anonymizer.replacer() else { return (read.surveys, Settled::nothing(read.originals)) };
    let known = |photo: PixelHash, index: usize, face: usize| -> Option<Subject> {
        let slot = lock(read.surveys.get(index)?);
        let survey = slot.as_ref().map(|(survey, _)| survey).filter(|survey| survey.photo == photo)?;
        survey.subjects.get(face)?.as_ref().ok().cloned()
    };
    let load = |(photo, face): FaceKey| {
        let index = read.photos.get(&photo)?.input;
        let input = inputs.get(index)?;
        let file = photo::read(&input.source, &options.limits).ok()?;
        if stop.load(Ordering::Relaxed) || PixelHash::of(&file.pixels) != photo {
            return None;
        }
        let subject = known(photo, index, face).or_else(|| {
            let survey = survey(anonymizer, input, options, &file, &mut Timings::default()).ok()?;
            survey.subjects.into_iter().nth(face)?.ok()
        })?;
        Some((file, subject))
    };
    let groups = read.photos.iter().flat_map(|(photo, of)| of.groups.iter().map(|(face, g)| ((*photo, *face), *g)));
    let run = settle::Run {
        replacer,
        groups: groups.collect(),
        barred: read.photos.iter().map(|(photo, of)| (*photo, of.barred.clone())).collect(),
        load: &load,
        side_by_side: &|count, work| side_by_side(options.jobs, count, work),
    };
    let settled = run.settle(read.originals, replacer.options.unlinkable);
    (read.surveys, settled)
}

/// What was ordered for a photo.
fn orders(anonymizer: &Anonymizer, input: &Input, options: &BatchOptions, survey: &Survey) -> Orders {
    let mut keep = options.keep.get(&input.source).cloned().unwrap_or_default();
    keep.extend(anonymizer.left(survey, &options.whom));
    let contributors = options.contributors.get(&input.source);
    Orders { keep, barred: contributors.map(|people| anonymizer.contributed(people)).unwrap_or_default() }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is in `photo`, with the faces that were found elsewhere.
fn survey(
    anonymizer: &Anonymizer,
    input: &Input,
    options: &BatchOptions,
    photo: &Photo,
    timings: &mut Timings,
) -> Result<Survey> {
    let mut survey = anonymizer.survey(photo, timings)?;
    if let Some(brought) = options.brought.get(&input.source) {
        let unknown: Vec<BroughtFace> = people::unknown(brought, &survey.faces).into_iter().cloned().collect();
        anonymizer.add_brought(photo, &mut survey, &unknown, timings)?;
    }
    Ok(survey)
}

/// How often a photo is tried whose faces do not hide as they were written, each time without those who stood in.
const WRITTEN_ATTEMPTS: usize = 3;

/// The photo of `survey` once more.
fn read_again(input: &Input, options: &BatchOptions, survey: &Survey) -> Result<Photo> {
    let photo = photo::read(&input.source, &options.limits)?;
    if PixelHash::of(&photo.pixels) == survey.photo {
        return Ok(photo);
    }
    Err(Error::Unreadable { path: input.source.clone(), reason: "it changed while it was worked on".to_owned() })
}

/// Read, anonymise and write one photo. A failure that concerns this photo alone is its record.
fn one(
    anonymizer: &Anonymizer,
    input: &Input,
    out: &Path,
    options: &BatchOptions,
    surveyed: Option<(Survey, Timings)>,
    settled: &Settled,
) -> Result<Entry> {
    let mut timings = Timings::default();
    let mut record = PhotoRecord {
        input: input.source.to_string_lossy().into_owned(),
        output: None,
        status: Status::Unreadable,
        notes: Vec::new(),
        size_px: None,
        faces: Vec::new(),
        timings_ms: BTreeMap::new(),
    };
    let mut entry_hashes = (String::new(), None);
    // A panic is a defect, but it must not cost the other photos, nor publish this one.
    let outcome = catch_unwind(AssertUnwindSafe(|| -> Result<()> {
        let photo = timings.time("read", || photo::read(&input.source, &options.limits))?;
        entry_hashes.0 = file_sha256(&input.source).unwrap_or_default();
        record.size_px = Some([photo.pixels.width(), photo.pixels.height()]);
        record.notes.clone_from(&photo.notes);
        // A file that changed since it was read is read anew.
        let same = |(survey, _): &(Survey, Timings)| survey.photo == PixelHash::of(&photo.pixels);
        let (survey, read) = match surveyed.filter(same) {
            Some(surveyed) => surveyed,
            None => {
                let mut read = Timings::default();
                (survey(anonymizer, input, options, &photo, &mut read)?, read)
            }
        };
        let mut orders = orders(anonymizer, input, options, &survey);
        let (mut photo, mut read) = (photo, read);
        let (mut attempts, mut refused) = (0, BTreeMap::new());
        let (mut result, mut bytes, unhidden) = loop {
            let result = anonymizer.anonymize_in_run(photo, &survey, settled, &orders, read)?;
            let bytes = timings.time("encode", || photo::encode(&result.photo))?;
            let unhidden = timings.time("look at the file", || {
                if !anonymizer.replaces() {
                    return Ok(Vec::new());
                }
                let written = photo::decode(&bytes, &input.output, &options.limits)?;
                anonymizer.unhidden(&written.pixels, &survey, settled, &result.faces)
            })?;
            attempts += 1;
            if unhidden.is_empty() || attempts == WRITTEN_ATTEMPTS {
                break (result, bytes, unhidden);
            }
            // Who does not hide a face as it was written may not stand in on this photo.
            let failed = unhidden.iter().filter_map(|(place, _)| anonymizer.stand_in(result.faces.get(*place)?));
            orders.barred.extend(failed);
            refused.extend(unhidden);
            read = result.timings;
            photo = timings.time("read", || read_again(input, options, &survey))?;
        };
        for (place, why) in refused {
            if let Some(record) = result.faces.get_mut(place).filter(|record| record.verdict == Verdict::Obscured) {
                record.reason = Some(why);
            }
        }
        for (place, why) in &unhidden {
            if let (Some(record), Some(face)) = (result.faces.get_mut(*place), survey.faces.get(*place)) {
                record.verdict = Verdict::Obscured;
                record.reason = Some(why.clone());
                cover::cover(&mut result.photo.pixels, face);
            }
        }
        if !unhidden.is_empty() {
            bytes = timings.time("encode", || photo::encode(&result.photo))?;
        }
        for (stage, ms) in result.timings.into_map() {
            *record.timings_ms.entry(stage).or_default() += ms;
        }
        record.faces = result.faces;
        record.status = Status::Done;
        if record.faces.is_empty() {
            record.status = Status::NoFace;
            if !options.allow_no_face {
                record.notes.push("no face was found; not written (see --allow-no-face)".to_owned());
                return Ok(());
            }
        }
        let failed = anonymizer.replaces() && record.faces.iter().any(|face| face.verdict == Verdict::Obscured);
        if failed && options.on_failure != OnFailure::Obscure {
            record.status = Status::Dropped;
            record.notes.push("a face could not be replaced; not written".to_owned());
            return Ok(());
        }
        if options.provenance && record.faces.iter().any(|face| face.verdict == Verdict::Replaced) {
            bytes = photo::provenance::mark(&bytes).unwrap_or(bytes);
        }
        let overwrite = if options.overwrite || options.resume { Overwrite::Always } else { Overwrite::Never };
        timings.time("write", || atomic::write(&out.join(&input.output), &bytes, overwrite))?;
        entry_hashes.1 = Some(sha256_hex(&bytes));
        record.output = Some(input.output.to_string_lossy().into_owned());
        Ok(())
    }));
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => refuse(&mut record, error.to_string()),
        Err(_) => refuse(&mut record, format!("{}: an internal error; please report it", input.source.display())),
    }
    for (stage, ms) in timings.into_map() {
        *record.timings_ms.entry(stage).or_default() += ms;
    }
    if record.status == Status::Dropped && options.on_failure == OnFailure::Fail {
        return Err(Error::Usage(format!("{}: a face could not be replaced", input.source.display())));
    }
    Ok(Entry { input_sha256: entry_hashes.0, output_sha256: entry_hashes.1, record })
}

fn refuse(record: &mut PhotoRecord, reason: String) {
    record.status = Status::Unreadable;
    record.notes.push(reason);
}

fn file_sha256(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|bytes| sha256_hex(&bytes))
}

/// The earlier record of `input`, if the file and what was written for it are both as they were.
fn still_done<'a>(done: &'a HashMap<String, Entry>, input: &Input, out: &Path) -> Option<&'a Entry> {
    let entry = done.get(&*input.source.to_string_lossy())?;
    if entry.record.status == Status::Unreadable || file_sha256(&input.source)? != entry.input_sha256 {
        return None;
    }
    match (&entry.record.output, &entry.output_sha256) {
        (Some(output), Some(sha256)) => {
            let same = Path::new(output) == input.output && file_sha256(&out.join(output))? == *sha256;
            same.then_some(entry)
        }
        _ => Some(entry),
    }
}

fn read_journal(folder: &Path, config: &serde_json::Value) -> Result<HashMap<String, Entry>> {
    let path = folder.join(JOURNAL);
    let Ok(file) = File::open(&path) else { return Ok(HashMap::new()) };
    let mut lines = BufReader::new(file).lines();
    let header = lines.next().and_then(|line| serde_json::from_str::<Header>(&line.ok()?).ok());
    match header {
        None => return Ok(HashMap::new()),
        Some(header) if header.config != *config => {
            let reason = "it was written with other options; give the same ones, or leave out --resume".to_owned();
            return Err(Error::Malformed { path, reason });
        }
        Some(_) => {}
    }
    // The last line of a killed run may be cut off; it is then as if that photo had not been finished.
    Ok(lines
        .map_while(|line| line.ok().filter(|line| line.len() <= MAX_LINE_BYTES))
        .filter_map(|line| serde_json::from_str::<Entry>(&line).ok())
        .map(|entry| (entry.record.input.clone(), entry))
        .collect())
}

fn open_journal(folder: &Path, config: &serde_json::Value, append: bool) -> Result<File> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join(JOURNAL);
    let mut options = OpenOptions::new();
    if append {
        options.append(true);
    } else {
        options.write(true).truncate(true);
    }
    let mut file = options.create(true).open(&path).map_err(Error::io(&path))?;
    if append {
        // A line that was cut off must not run into the next one.
        file.write_all(b"\n").map_err(Error::io(&path))?;
    } else {
        let header = Header { config: config.clone() };
        write_line(&mut file, &header).map_err(Error::io(&path))?;
    }
    Ok(file)
}

fn append(journal: &Mutex<File>, folder: &Path, entry: &Entry) -> Result<()> {
    write_line(&mut lock(journal), entry).map_err(Error::io(folder.join(JOURNAL)))
}

fn write_line(file: &mut File, line: &impl Serialize) -> std::io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)
}
