//! `perface audit`: would an attacker still know who is on the published photos?

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use perface::atomic::{self, Overwrite};
use perface::batch;
use perface::detect::DetectorOptions;
use perface::mesh::Mesher;
use perface::model::card::Role;
use perface::model::store::State;
use perface::photo::Limits;
use perface::table::{ColumnNames, Table};
use perface_evidence::audit::look::Eyes;
use perface_evidence::audit::{self, AuditOptions, Gates, files};

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::Session;

/// Score from which the second look reports a face.
const SECOND_LOOK_SCORE: f32 = 0.45;

/// Options of `audit`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface audit photos/ out/\n  perface audit photos/ out/ --max-rank1 0.005 --people \
                        people.csv\n\nThe result goes to OUTPUTS.report/audit.json and audit.html. Exit code 5 says \
                        that the photos should not be published as they are."
)]
pub struct Audit {
    /// Photos as they were: a folder, or one file.
    originals: PathBuf,
    /// Photos to be published: the folder an `anonymize` run wrote, or one file.
    outputs: PathBuf,
    /// Report of the run, which says where each photo went [default: OUTPUTS.report/report.json, else files of the
    /// same relative path].
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Who the main face of each original is: a list with the columns image (relative to ORIGINALS) and person.
    #[arg(long, value_name = "FILE")]
    people: Option<PathBuf>,
    /// Take who somebody is from the name of the folder, or from the file name up to its first `_`.
    #[arg(long, value_enum, conflicts_with = "people")]
    people_by: Option<PeopleBy>,
    /// Recognisers to attack with [default: every one on this machine].
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    models: Vec<String>,
    /// Largest share of results whose right person may come first in a search.
    #[arg(long, default_value_t = Gates::default().max_rank1, value_name = "SHARE")]
    max_rank1: f64,
    /// Hold the upper limit of the interval to --max-rank1, not the share itself.
    #[arg(long)]
    by_upper_limit: bool,
    /// How many faces may be left as they were without being named.
    #[arg(long, default_value_t = 0, value_name = "N")]
    max_missed: usize,
    /// Do not fail for what files say beside their pixels.
    #[arg(long)]
    allow_metadata: bool,
    /// Folder for audit.json and audit.html [default: OUTPUTS.report].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the page without names of files, so that it may be published.
    #[arg(long)]
    public: bool,
    /// Pairs looked at side by side [default: one for each core].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PeopleBy {
    /// The folder a photo lies in.
    Folder,
    /// The file name up to its first `_`.
    Prefix,
}

impl Audit {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        if !(0.0..=1.0).contains(&self.max_rank1) {
            return Err(perface::Error::Usage("--max-rank1 is a share, between 0 and 1".to_owned()).into());
        }
        let report = self.report.clone().or_else(|| files::report_of(&self.outputs));
        let pairs = files::pairs(&self.originals, &self.outputs, report.as_deref())?;
        let session = Session::open(common)?;
        let looking = DetectorOptions::default();
        let second =
            DetectorOptions { min_score: SECOND_LOOK_SCORE, quarter_turns: false, ..DetectorOptions::default() };
        let eyes = Eyes {
            detector: session.detector(looking)?,
            second: session.detector(second)?,
            mesher: Mesher::new(session.load("facemesh")?.1),
            embedders: self.recognisers(&session)?.iter().map(|n| session.embedder(n)).collect::<Result<Vec<_>>>()?,
            limits: Limits::default(),
        };
        let options = AuditOptions {
            jobs: self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
            people: self.named_people(&pairs)?,
            gates: Gates {
                max_rank1: self.max_rank1,
                by_upper_limit: self.by_upper_limit,
                max_missed: self.max_missed,
                allow_metadata: self.allow_metadata,
            },
        };
        let bar = progress::bar(pairs.pairs.len(), "pairs", common.quiet);
        let audit = audit::run(&eyes, &pairs, &options, session.runtime.name(), &|| bar.inc(1))?;
        bar.finish_and_clear();
        let folder = self.out.clone().unwrap_or_else(|| batch::report_folder(&self.outputs));
        let write = |name: &str, bytes: &[u8]| {
            atomic::write(&folder.join(name), bytes, Overwrite::Always).context("the audit could not be written")
        };
        write("audit.json", &serde_json::to_vec_pretty(&audit)?)?;
        write("audit.html", audit::html(&audit, !self.public).as_bytes())?;
        output::print(common.json, &audit, |audit| {
            format!("{}page: {}\n", audit.to_text(), folder.join("audit.html").display())
        })?;
        Ok(match (audit.passed, audit.files.unreadable.is_empty()) {
            (false, _) => Outcome::GateFailed,
            (true, false) => Outcome::SomeUnreadable,
            (true, true) => Outcome::Done,
        })
    }

    /// The recognisers that were named, or all whose files are here.
    fn recognisers(&self, session: &Session) -> Result<Vec<String>> {
        if !self.models.is_empty() {
            return Ok(self.models.clone());
        }
        let cards = session.store.cards()?;
        let here = cards.iter().filter(|c| c.role == Role::Embedder && session.store.state(c) == State::Ready);
        let mut names: Vec<String> = here.map(|card| card.name.clone()).collect();
        if names.is_empty() {
            names.push(crate::session::DEFAULT_MODEL.to_owned());
        }
        Ok(names)
    }

    /// Who is on which original, as far as somebody said so.
    fn named_people(&self, pairs: &files::FilePairs) -> Result<HashMap<PathBuf, String>> {
        let mut named = HashMap::new();
        if let Some(list) = &self.people {
            let table = Table::read(list, &ColumnNames::default(), &["image", "person"])?;
            let folder = if self.originals.is_dir() { self.originals.as_path() } else { Path::new("") };
            named.extend(table.rows().map(|row| (folder.join(row.get("image")), row.get("person").to_owned())));
        }
        for pair in &pairs.pairs {
            let folder = || Some(pair.original.parent()?.file_name()?.to_string_lossy().into_owned());
            let prefix = || Some(pair.original.file_stem()?.to_string_lossy().split('_').next()?.to_owned());
            let name = match self.people_by {
                Some(PeopleBy::Folder) => folder(),
                Some(PeopleBy::Prefix) => prefix(),
                None => None,
            };
            named.extend(name.map(|name| (pair.original.clone(), name)));
        }
        Ok(named)
    }
}
