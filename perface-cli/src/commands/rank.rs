//! `perface rank`: candidates of the chosen group, least similar first (STEP 2).

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use image::RgbImage;
use perface::cover::head_box;
use perface::photo::{self, Limits};
use perface::rank::{Candidate, rank};
use perface::sheet::faces::{RankStrip, rank_pages};
use serde::Serialize;

use super::group::{GroupArgs, Grouped};
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{OnePerson, Session};
use crate::sheets;

/// Options of `rank`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface rank portrait.jpg --top-least 5 --sheet ranking.png")]
pub struct Rank {
    /// A photo; its main face is taken.
    photo: PathBuf,
    #[command(flatten)]
    group: GroupArgs,
    /// Show only so many of the least similar.
    #[arg(long, value_name = "N")]
    top_least: Option<usize>,
    /// Write a contact sheet, a PNG: the face, the two most and the five least similar of the group.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
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
        if let Some(path) = &self.sheet {
            let title = format!("{}: {}", self.photo.display(), grouped.chosen_group);
            let query = face_of(&person);
            let strips = [RankStrip { title, query, ranked: &ranked, chosen: None }];
            let load = |candidate: &Candidate| {
                let member = members.get(candidate.index);
                let path = member.map(|member| candidates.pool().path_of(member)).unwrap_or_default();
                Ok(photo::read(&path, &Limits::default())?.pixels)
            };
            sheets::write(rank_pages(&strips, &card.similarity, load), path)?;
        }
        ranked.truncate(self.top_least.unwrap_or(usize::MAX));
        let ranked = Ranked { grouped, candidates: ranked };
        output::print(common.json, &ranked, text)?;
        Ok(Outcome::Done)
    }
}

/// The head of `person` alone.
fn face_of(person: &OnePerson) -> RgbImage {
    let pixels = &person.photo.pixels;
    let head = head_box(&person.face).clamped(pixels.width(), pixels.height());
    let (width, height) = ((head.width() as u32).max(1), (head.height() as u32).max(1));
    image::imageops::crop_imm(pixels, head.left as u32, head.top as u32, width, height).to_image()
}

fn text(ranked: &Ranked) -> String {
    let Grouped { chosen_group, grouped_by, because, similarity, .. } = &ranked.grouped;
    let mut out = format!("{chosen_group}, by {grouped_by}: {because}\n{similarity}, least similar first:\n");
    for candidate in &ranked.candidates {
        let _ = writeln!(out, "  {:>6.3}  {}", candidate.cosine, candidate.id);
    }
    out
}
