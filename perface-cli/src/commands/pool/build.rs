//! `perface pool build`: portraits become a pool.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use perface::attribute::AttributeReader;
use perface::candidates::Reader;
use perface::group::GroupDistance;
use perface::photo::{self, Limits};
use perface::pool::manifest::FILE_NAME;
use perface::pool::{Entry, LabelSource, Manifest, Pool};
use perface::table::ColumnNames;
use perface::tree;
use perface_evidence::eval::pool_accuracy::leave_one_out;

use super::list;
use crate::args::Common;
use crate::output::Outcome;
use crate::progress;
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `pool build`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  perface pool build portraits/\n\nOnly use portraits of people who agreed to stand in for others."
)]
pub struct Build {
    /// Folder of portraits, one person each, with or without a pool.csv.
    folder: PathBuf,
    /// Embedder the group accuracy is measured with.
    #[arg(long, default_value = DEFAULT_MODEL)]
    model: String,
}

impl Build {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let reader = session.reader(&self.model)?;
        let attributes = session.attributes()?;
        let path = self.folder.join(FILE_NAME);
        let mut manifest = match path.exists() {
            true => Manifest::read(&path, &ColumnNames::default(), &["id", "file"])?,
            false => Manifest { entries: Vec::new(), other_columns: Vec::new() },
        };
        add_unlisted(&mut manifest, &self.folder)?;
        let bar = progress::bar(manifest.entries.len(), "faces", common.quiet);
        let mut left_out = Vec::new();
        manifest.entries.retain_mut(|entry| {
            bar.inc(1);
            match complete(entry, &self.folder, &reader, &attributes) {
                Ok(()) => true,
                Err(reason) => {
                    left_out.push(format!("{}: {reason}", entry.file));
                    false
                }
            }
        });
        bar.finish_and_clear();
        for line in &left_out {
            eprintln!("perface: left out {line}");
        }
        manifest.write(&path)?;
        let pool = record_leave_one_out(&session, &self.folder, reader)?;
        list::print(common, &pool)?;
        Ok(if left_out.is_empty() { Outcome::Done } else { Outcome::SomeUnreadable })
    }
}

/// Load the pool in `folder`, embed it, and note how well it tells its own groups apart.
pub fn record_leave_one_out(session: &Session, folder: &Path, reader: Reader) -> Result<Pool> {
    let card = reader.embedder.card().clone();
    let candidates = session.candidates(Some(folder), reader)?;
    let mut pool = candidates.pool().clone();
    match leave_one_out(pool.members(), candidates.gallery().embeddings(), GroupDistance::default()) {
        Ok(accuracy) => pool.record_accuracy(&card.sha256, accuracy)?,
        Err(error) => eprintln!("perface: the group accuracy was not measured: {error}"),
    }
    Ok(pool)
}

/// Pictures of the folder that the list does not name yet. Smiling twins named by a list are not faces of their own.
fn add_unlisted(manifest: &mut Manifest, folder: &Path) -> Result<()> {
    let inputs = tree::inputs(&[folder.to_owned()], None)?;
    for input in inputs.photos {
        let Ok(relative) = input.source.strip_prefix(folder) else { continue };
        let file = relative.to_string_lossy().replace('\\', "/");
        let listed = manifest.entries.iter().any(|e| e.file == file || e.other.contains(&file));
        if !listed {
            let id = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem).replace('/', "-");
            manifest.entries.push(Entry {
                id,
                file,
                other: vec![String::new(); manifest.other_columns.len()],
                ..Default::default()
            });
        }
    }
    Ok(())
}

/// Fill in the labels an entry lacks; an error says why it cannot be a source.
fn complete(entry: &mut Entry, folder: &Path, reader: &Reader, attributes: &AttributeReader) -> Result<()> {
    let picture = photo::read(&folder.join(&entry.file), &Limits::default())?.pixels;
    let Some(face) = reader.main_face(&picture)? else { anyhow::bail!("no face was found") };
    let seen = attributes.read(&picture, &face)?;
    let stated = entry.age_group.is_some() && entry.label_source == Some(LabelSource::Csv);
    if seen.may_be_minor() && !stated {
        anyhow::bail!(
            "looks {:.0} years old; minors are no sources (name gender and age_group in {FILE_NAME} if this person is grown up)",
            seen.age_years
        );
    }
    if entry.gender.is_none() || entry.age_group.is_none() {
        entry.gender.get_or_insert(seen.gender());
        entry.age_group.get_or_insert(seen.age_group());
        entry.label_source = Some(LabelSource::Model);
    }
    entry.label_source.get_or_insert(LabelSource::Csv);
    if entry.source.is_empty() {
        entry.source = "own".to_owned();
    }
    Ok(())
}
