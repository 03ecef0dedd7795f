//! `perface rank`: candidates of the chosen group, least similar first (STEP 2).

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::rank::{Candidate, rank};
use serde::Serialize;

use super::group::{GroupArgs, Grouped};
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{OnePerson, Session};

/// Options of `rank`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface rank portrait.jpg --top-least 5")]
pub struct Rank {
    /// A photo; its largest face is taken.
    photo: PathBuf,
    #[command(flatten)]
    group: GroupArgs,
    /// Show only so many of the least similar.
    #[arg(long, value_name = "N")]
    top_least: Option<usize>,
}

#[derive(Serialize)]
struct Ranked {
    #[serde(flatten)]
    grouped: Grouped,
    candidates: Vec<Candidate>,
}

impl Rank {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let reader = session.reader(&self.group.model)?;
        let card = reader.embedder.card().clone();
        let person = OnePerson::read(&self.photo, &reader)?;
        let candidates = session.candidates(self.group.pool.as_deref(), reader)?;
        let grouped = self.group.decide(&session, &candidates, &card, &person)?;
        let (members, gallery) = (candidates.pool().members(), candidates.gallery());
        let mut ranked = rank(&person.embedding, members, gallery.embeddings(), grouped.chosen_group);
        ranked.truncate(self.top_least.unwrap_or(usize::MAX));
        let ranked = Ranked { grouped, candidates: ranked };
        output::print(common.json, &ranked, text)?;
        Ok(Outcome::Done)
    }
}

fn text(ranked: &Ranked) -> String {
    let Grouped { chosen_group, grouped_by, because, similarity, .. } = &ranked.grouped;
    let mut out = format!("{chosen_group}, by {grouped_by}: {because}\n{similarity}, least similar first:\n");
    for candidate in &ranked.candidates {
        let _ = writeln!(out, "  {:>6.3}  {}", candidate.cosine, candidate.id);
    }
    out
}
