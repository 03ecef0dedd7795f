//! `perface study render`: the pictures of a study.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use perface::parallel::in_parallel;
use perface_evidence::study::Study;
use perface_evidence::study::render::{self, Failed, RenderRecord, Renderer, is_there};

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::{BUILT_IN_ENGINE, DEFAULT_MODEL, MaskNames, Session};

/// How often progress is said where there is no terminal for a bar.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Options of `study render`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface study render study/\n\nA render that was stopped goes on where it was.")]
pub struct Render {
    /// The study's folder.
    study: PathBuf,
    /// What makes the faces: warp, the built-in engine, or an engine whose files you added.
    #[arg(long, default_value = BUILT_IN_ENGINE, value_name = "NAME")]
    engine: String,
}

impl Render {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let mut study = Study::read(&self.study)?;
        let session = Session::open(common)?;
        let (swapper, cards) = session.engine(&self.engine, MaskNames::default(), false)?;
        let model_hash = cards.first().map(|card| card.sha256.as_str());
        render::note_engine(&mut study, &self.study, &self.engine, model_hash)?;
        let renderer = Renderer::new(&study, &self.study, session.reader(DEFAULT_MODEL)?, swapper);
        let tasks = render::tasks(&study);
        let bar = progress::bar(tasks.len(), "pictures", common.quiet);
        let lines = !common.quiet && bar.is_hidden();
        let (done, last) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        let results = in_parallel(&tasks, |task| {
            let result = renderer.render(task);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            bar.set_message(task.file.clone());
            bar.inc(1);
            if lines
                && let Ok(mut last) = last.lock()
                && last.elapsed() >= BETWEEN_LINES
            {
                *last = Instant::now();
                eprintln!("perface: {done} of {} pictures, now {}", tasks.len(), task.file);
            }
            result
        });
        bar.finish_and_clear();
        let outcomes: Vec<Result<(), Failed>> = results.into_iter().collect::<perface::Result<_>>()?;
        let record = RenderRecord {
            schema: 1,
            engine: self.engine.clone(),
            pictures: tasks.iter().filter(|task| is_there(&self.study, &task.file)).count(),
            failed: outcomes.into_iter().filter_map(Result::err).collect(),
        };
        render::write_record(&self.study, &record)?;
        output::print(common.json, &record, |record| {
            let mut text = format!("{} pictures in {}\n", record.pictures, self.study.display());
            for failed in record.failed.iter().take(20) {
                text += &format!("failed: {}: {}\n", failed.file, failed.reason);
            }
            if record.failed.len() > 20 {
                text += &format!("and {} more, in {}\n", record.failed.len() - 20, render::RECORD);
            }
            text + "next: perface study serve"
        })?;
        Ok(if record.failed.is_empty() { Outcome::Done } else { Outcome::SomeUnreadable })
    }
}
