//! `perface anonymize`: photos in, photos without their people out.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use perface::anonymize::Anonymizer;
use perface::atomic::{self, Overwrite};
use perface::batch::{self, BatchOptions, OnFailure};
use perface::detect::DetectorOptions;
use perface::report::{self, ModelRecord, PhotoRecord, Report, Status, Summary};
use perface::tree;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::Session;

/// Options of `anonymize`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface anonymize photos/ --out out/ --engine none")]
pub struct Anonymize {
    /// Photos or folders.
    #[arg(required = true)]
    pub photos: Vec<PathBuf>,
    /// Folder for the results; the report goes beside it, to OUT.report.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What takes a face's place.
    #[arg(long, value_enum, default_value_t = EngineName::None)]
    pub engine: EngineName,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// A solid fill over every head; no faces are needed in their place.
    None,
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

impl Anonymize {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let inputs = tree::inputs(&self.photos, Some(&self.out))?;
        if inputs.photos.is_empty() && inputs.failed.is_empty() {
            return Err(perface::Error::Usage("no photo was found in what was named".to_owned()).into());
        }
        let session = Session::open(common)?;
        let detector = session.detector(DetectorOptions { min_score: self.min_score, ..Default::default() })?;
        let anonymizer = Anonymizer::covering(detector);
        let config = serde_json::json!({ "engine": "none", "min_score": self.min_score });
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
            ..Default::default()
        };
        let bar = progress::bar(inputs.photos.len(), "photos", common.quiet);
        let lines = bar.is_hidden() && !common.quiet;
        let on_photo = |record: &PhotoRecord| {
            bar.inc(1);
            if lines {
                eprintln!("{}", describe(record));
            }
        };
        let stop = AtomicBool::new(false);
        let mut photos = batch::run(&anonymizer, &inputs.photos, &self.out, &config, &options, &stop, &on_photo)?;
        bar.finish_and_clear();
        photos.extend(inputs.failed.iter().map(|error| unreadable(error.to_string())));
        let models = vec![ModelRecord::from(&session.store.card("yunet")?)];
        let report = Report {
            schema: report::SCHEMA,
            tool: format!("perface {}", env!("CARGO_PKG_VERSION")),
            runtime: session.runtime.name().to_owned(),
            config,
            models,
            summary: Summary::of(&photos),
            timings_ms: report::total_timings(&photos),
            photos,
        };
        let folder = batch::report_folder(&self.out);
        let json = serde_json::to_vec_pretty(&report)?;
        atomic::write(&folder.join("report.json"), &json, Overwrite::Always)
            .context("the report could not be written")?;
        output::print(common.json, &report, |report| summary(report, &self.out, &folder))?;
        Ok(outcome(&report.summary))
    }
}

fn outcome(summary: &Summary) -> Outcome {
    if summary.unreadable > 0 {
        Outcome::SomeUnreadable
    } else if summary.no_face > 0 || summary.dropped > 0 || summary.obscured > 0 {
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
    for photo in report.photos.iter().filter(|photo| photo.status != Status::Done) {
        text += &format!("  {}\n", describe(photo));
    }
    text += &format!("photos: {}\nreport, confidential: {}\n", out.display(), folder.display());
    text
}
