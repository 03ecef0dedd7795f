//! `perface eval`: how good are groups and similarities?

mod groups;
mod pairs;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use perface::candidates::Reader;
use perface::embedding::{Embedding, EmbeddingSet};
use perface::eval::group_list::{LabelledFace, read_faces};
use perface::group::Gallery;
use perface::table::ColumnNames;

use crate::args::Common;
use crate::output::Outcome;
use crate::progress;

/// Options of `eval`.
#[derive(Args)]
pub struct Eval {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// How often the nearest group is the right one: precision, recall, accuracy, AUC of each group.
    Groups(groups::Groups),
    /// How well a similarity tells whether two photos show one person.
    Pairs(pairs::Pairs),
}

impl Eval {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        match &self.action {
            Action::Groups(command) => command.run(common),
            Action::Pairs(command) => command.run(common),
        }
    }
}

/// How to read a list of labelled faces.
#[derive(Args)]
pub struct LabelledFaces {
    /// Folder the image paths are relative to [default: the list's].
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Foreign column names, as ours=theirs,…
    #[arg(long, default_value = "", value_name = "PAIRS")]
    columns: ColumnNames,
}

impl LabelledFaces {
    /// All faces of the list with their embeddings, and how many pictures had none.
    pub fn read(
        &self,
        list: &Path,
        reader: &Reader,
        common: &Common,
    ) -> Result<(Vec<(LabelledFace, Embedding)>, usize)> {
        let listed = read_faces(list, &self.columns)?;
        let folder = self.images.clone().unwrap_or_else(|| list.parent().unwrap_or(Path::new("")).to_owned());
        let paths: Vec<PathBuf> = listed.iter().map(|face| folder.join(&face.image)).collect();
        let embedded = embed_files(&paths, reader, common);
        let mut skipped = 0;
        let mut faces = Vec::with_capacity(listed.len());
        for (face, embedding) in listed.into_iter().zip(embedded) {
            match embedding {
                Ok(embedding) => faces.push((face, embedding)),
                Err(error) => {
                    eprintln!("perface: {error}");
                    skipped += 1;
                }
            }
        }
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

/// Embed the main face of every file, on all cores.
pub fn embed_files(paths: &[PathBuf], reader: &Reader, common: &Common) -> Vec<perface::Result<Embedding>> {
    let bar = progress::bar(paths.len(), "faces", common.quiet);
    let results = progress::in_parallel(paths, |path| {
        let result = reader.embed_file(path);
        bar.inc(1);
        result
    });
    bar.finish_and_clear();
    results
}
