//! `perface study render`: the pictures of a study.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use perface::study::Study;
use perface::study::render::{self, Failed, RenderRecord, Renderer, is_there};
use perface::swap::Swapper;
use perface::swap::warp::Warp;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `study render`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface study render study/\n\nA render that was stopped goes on where it was.")]
pub struct Render {
    /// The study's folder.
    study: PathBuf,
    /// What makes the faces: warp, the built-in engine.
    #[arg(long, default_value = "warp", value_name = "NAME", value_parser = ["warp"])]
    engine: String,
}

impl Render {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let mut study = Study::read(&self.study)?;
        let swapper: Arc<dyn Swapper> = Arc::new(Warp::default());
        render::note_engine(&mut study, &self.study, &self.engine, None)?;
        let session = Session::open(common)?;
        let renderer = Renderer::new(&study, &self.study, session.reader(DEFAULT_MODEL)?, swapper);
        let tasks = render::tasks(&study);
        let bar = progress::bar(tasks.len(), "pictures", common.quiet);
        let results = progress::in_parallel(&tasks, |task| {
            let result = renderer.render(task);
            bar.inc(1);
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
