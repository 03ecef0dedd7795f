//! `perface pool list`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::model::Runtime;
use perface::photo::{self, Limits};
use perface::pool::{Group, Member, Pool, PoolRecord};
use perface::sheet::faces::pool_pages;
use serde::Serialize;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{Session, open_store};
use crate::sheets;

/// Options of `pool list`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface pool list")]
pub struct List {
    /// Folder of the pool [default: the built-in composites].
    folder: Option<PathBuf>,
    /// Write a contact sheet, a PNG.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
}

#[derive(Serialize)]
pub struct Listing<'a> {
    pub folder: PathBuf,
    pub groups: Vec<(Group, usize)>,
    pub members: &'a [Member],
    pub record: &'a PoolRecord,
}

impl List {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        // No network is run, so none is fetched.
        let session = Session { store: open_store(common)?, runtime: Runtime::Rten, loaded: Default::default() };
        let pool = session.pool(self.folder.as_deref())?;
        if let Some(path) = &self.sheet {
            let load = |member: &Member| Ok(photo::read(&pool.path_of(member), &Limits::default())?.pixels);
            sheets::write(pool_pages(&pool, &pool.folder().display().to_string(), load), path)?;
        }
        print(common, &pool)?;
        Ok(Outcome::Done)
    }
}

/// Print what is in `pool`.
pub fn print(common: &Common, pool: &Pool) -> Result<()> {
    let listing = Listing {
        folder: pool.folder().to_owned(),
        groups: Group::INTERSECTIONS.into_iter().zip(pool.counts()).collect(),
        members: pool.members(),
        record: pool.record(),
    };
    output::print(common.json, &listing, |listing| {
        let mut out = format!("{}\n", listing.folder.display());
        for (group, count) in &listing.groups {
            let _ = writeln!(out, "{group}: {count}");
            for member in listing.members.iter().filter(|member| member.group() == *group) {
                let _ = writeln!(out, "  {:<24} {:<32} {}", member.id, member.file, member.licence);
            }
        }
        out
    })
}
