//! `perface eval`: how good are groups and similarities?

pub mod groups;
mod pairs;
pub mod pictures;
pub mod rank;
mod similarity;
mod splits;
mod tradeoff;
pub mod triplet;

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};
use perface::embedding::{Embedding, EmbeddingSet};
use perface::eval::group_list::{LabelledFace, read_faces};
use perface::group::Gallery;
use perface::report::html::evaluation::EvaluationPage;
use serde::Serialize;

use self::pictures::{Embedded, ListArgs};
use crate::args::Common;
use crate::output::Outcome;
use crate::session::Session;

/// Options of `eval`.
#[derive(Args)]
pub struct Eval {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// How often models agree with people on which of two faces is closer to a third.
    Triplet(triplet::TripletArgs),
    /// How often the nearest group is the right one: precision, recall, accuracy, AUC of each group.
    Groups(groups::Groups),
    /// Candidates of the chosen group for many queries, and how often they repeat.
    Rank(rank::Rank),
    /// How well a similarity tells whether two photos show one person.
    Pairs(pairs::Pairs),
    /// How well a similarity follows people's ratings of pairs.
    Similarity(similarity::Similarity),
    /// Training runs side by side, by test split.
    Splits(splits::Splits),
    /// What naturalness costs: similarity of original and result against skin tones and edges, from reports of runs.
    Tradeoff(tradeoff::Tradeoff),
}

impl Eval {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        match &self.action {
            Action::Triplet(command) => command.run(common),
            Action::Groups(command) => command.run(common),
            Action::Rank(command) => command.run(common),
            Action::Pairs(command) => command.run(common),
            Action::Similarity(command) => command.run(common),
            Action::Splits(command) => command.run(common),
            Action::Tradeoff(command) => command.run(common.json),
        }
    }
}

/// A list of labelled faces.
#[derive(Args)]
pub struct LabelledFaces {
    #[command(flatten)]
    pub list: ListArgs,
}

impl LabelledFaces {
    /// All faces of the list with their embeddings by `model`, and how many pictures had none.
    pub fn read(
        &self,
        list: &Path,
        model: &str,
        session: &Session,
        common: &Common,
    ) -> Result<(Vec<(LabelledFace, Embedding)>, usize)> {
        let listed = read_faces(list, &self.list.columns)?;
        let names = listed.iter().map(|face| face.image.as_str());
        let embedded = Embedded::read(names, &self.list.folder(list), model, session, common)?;
        embedded.report_failures();
        let faces: Vec<(LabelledFace, Embedding)> =
            listed.iter().filter_map(|face| Some((face.clone(), embedded.of(&face.image)?.clone()))).collect();
        let skipped = listed.len() - faces.len();
        Ok((faces, skipped))
    }

    /// `faces` as labels and embeddings.
    pub fn gallery<'a>(faces: impl IntoIterator<Item = &'a (LabelledFace, Embedding)>) -> Result<Gallery> {
        let (labels, rows): (Vec<_>, Vec<_>) = faces.into_iter().map(|(f, e)| ((f.gender, f.age_group), e)).unzip();
        EmbeddingSet::from_rows(rows)
            .and_then(|set| Gallery::new(labels, set))
            .ok_or_else(|| perface::Error::Usage("the list has no usable face".to_owned()).into())
    }
}

/// Write a page with everything beside it, and say where.
pub fn write(page: &EvaluationPage, out: &Path, result: &impl Serialize, csv: &[(&str, Vec<u8>)]) -> Result<()> {
    page.write(out, result, csv)?;
    eprintln!("perface: wrote {}", out.join("report.html").display());
    Ok(())
}
