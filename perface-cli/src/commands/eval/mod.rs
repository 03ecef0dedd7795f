//! `perface eval`: how good are groups and similarities?

pub mod groups;
mod pairs;
pub mod pictures;
pub mod rank;
mod similarity;
pub mod splits;
mod tradeoff;
pub mod triplet;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use perface::draw::Seed;
use perface::embedding::{Embedding, EmbeddingSet};
use perface::group::Gallery;
use perface::table::{ColumnNames, Table};
use perface_evidence::eval::group_list::{LabelledFace, draw_order, of_celeba, read_faces, take_roles};
use perface_evidence::pages::page::EvaluationPage;
use perface_evidence::study::celeba;
use serde::Serialize;

use self::groups::DrawArgs;
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

/// Faces looked at beyond those a draw needs, in case some cannot be used: a tenth, and at least so many.
const LEAST_SPARE: usize = 20;

/// A list of labelled faces.
#[derive(Args, Default)]
pub struct LabelledFaces {
    #[command(flatten)]
    pub list: ListArgs,
    /// Corrected labels of CelebAMask-HQ: columns idx, attr, value.
    #[arg(long, value_name = "CSV")]
    pub overrides: Option<PathBuf>,
    /// Pictures not to use, such as those a similarity was trained on: column image, with or without folders.
    #[arg(long, value_name = "CSV")]
    pub exclude: Option<PathBuf>,
}

impl LabelledFaces {
    /// The faces of `list`, a table or CelebAMask-HQ's folder, without those that are excluded.
    fn listed(&self, list: &Path) -> Result<Vec<LabelledFace>> {
        let mut faces = if list.is_dir() {
            let overrides = self.overrides.as_deref().map(celeba::read_overrides).transpose()?.unwrap_or_default();
            of_celeba(list, &overrides)?
        } else {
            read_faces(list, &self.list.columns)?
        };
        if let Some(path) = &self.exclude {
            let table = Table::read(path, &ColumnNames::default(), &["image"])?;
            let excluded: HashSet<&str> = table.rows().map(|row| row.get("image")).collect();
            let before = faces.len();
            faces.retain(|face| {
                let name = face.image.rsplit('/').next().unwrap_or_default();
                !excluded.contains(face.image.as_str()) && !excluded.contains(name)
            });
            eprintln!("perface: {} faces of {} are excluded", before - faces.len(), list.display());
        }
        Ok(faces)
    }

    /// The faces of `list` with their embeddings by `model`, and how many pictures that were looked at had none. With
    /// `draw`, roles are drawn among those that can be used, and no more pictures are looked at than that takes.
    pub fn read(
        &self,
        list: &Path,
        model: &str,
        draw: &DrawArgs,
        session: &Session,
        common: &Common,
    ) -> Result<(Vec<(LabelledFace, Embedding)>, usize)> {
        let mut listed = self.listed(list)?;
        let folder = self.list.folder(list);
        let (gallery, queries) = draw.draw.unwrap_or_default();
        let order = draw_order(&listed, Seed::new(draw.seed.into()));
        let longest = order.iter().map(|(_, places)| places.len()).max().unwrap_or(0);
        let asked = gallery.saturating_add(queries);
        let mut reach = asked.saturating_add((asked / 10).max(LEAST_SPARE));
        let embedded = loop {
            let looked_at: Vec<&LabelledFace> = match draw.draw {
                Some(_) => {
                    let places = order.iter().flat_map(|(_, places)| places.iter().take(reach));
                    places.filter_map(|&place| listed.get(place)).collect()
                }
                None => listed.iter().collect(),
            };
            let names = looked_at.iter().map(|face| face.image.as_str());
            let embedded = Embedded::read(names, &folder, model, session, common)?;
            if draw.draw.is_none() {
                break embedded;
            }
            match take_roles(&mut listed, &order, gallery, queries, |face| embedded.of(&face.image).is_some()) {
                Ok(()) => break embedded,
                Err(_) if reach < longest => reach *= 2,
                Err(error) => return Err(error.into()),
            }
        };
        embedded.report_failures();
        let faces = listed.iter().filter_map(|face| Some((face.clone(), embedded.of(&face.image)?.clone()))).collect();
        Ok((faces, embedded.failures.len()))
    }

    /// `faces` as labels and embeddings.
    pub fn gallery<'a>(faces: impl IntoIterator<Item = &'a (LabelledFace, Embedding)>) -> Result<Gallery> {
        let (labels, rows): (Vec<_>, Vec<_>) = faces.into_iter().map(|(f, e)| ((f.gender, f.age_group), e)).unzip();
        EmbeddingSet::from_rows(rows)
            .and_then(|set| Gallery::new(labels, set))
            .ok_or_else(|| perface::Error::Usage("the list has no usable face".to_owned()).into())
    }
}

/// Write a page with everything beside it, and say where unless nothing but results is wanted.
pub fn write(
    page: &EvaluationPage,
    out: &Path,
    result: &impl Serialize,
    csv: &[(&str, Vec<u8>)],
    common: &Common,
) -> Result<()> {
    page.write(out, result, csv)?;
    if !common.quiet {
        eprintln!("perface: wrote {}", out.join("report.html").display());
    }
    Ok(())
}
