//! `perface demo`: sample photos, fetched and anonymised.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::model::builtin::{PHOTO_ASTRONAUT, PHOTO_PORTRAITS, PHOTO_SOLVAY};

use super::anonymize::Anonymize;
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::Session;

/// Options of `demo`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface demo --out out/demo")]
pub struct Demo {
    /// Folder for the results.
    #[arg(long, default_value = "out/demo", value_name = "DIR")]
    out: PathBuf,
}

impl Demo {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let mut photos = Vec::new();
        let mut missing = None;
        for pack in [&PHOTO_ASTRONAUT, &PHOTO_PORTRAITS, &PHOTO_SOLVAY] {
            match session.store.pack(pack) {
                Ok(folder) => photos.extend(pack.files.iter().map(|file| folder.join(file.keep_as))),
                Err(error) => {
                    eprintln!("perface: {error}");
                    missing = Some(error);
                }
            }
        }
        if let (true, Some(error)) = (photos.is_empty(), missing) {
            return Err(error.into());
        }
        let mut run = Anonymize::of(photos, self.out.clone())?;
        run.overwrite = true;
        run.run(common)?;
        if !common.json {
            output::line(&format!("look at {}", self.out.display()))?;
        }
        Ok(Outcome::Done)
    }
}
