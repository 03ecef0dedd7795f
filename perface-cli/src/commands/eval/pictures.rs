//! Pictures embedded once and kept: what every evaluation begins with.
//!
//! Descriptors are cached by the SHA-256 of the file, so that a second run opens no picture and loads no network.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use perface::candidates::aligner_key;
use perface::embedding::Embedding;
use perface::file::read_limited;
use perface::model::card::{ModelCard, Role};
use perface::parallel::in_parallel;
use perface::pool::{CacheKey, EmbeddingCache, PixelHash};
use perface::table::ColumnNames;

use crate::args::Common;
use crate::progress;
use crate::session::Session;

/// Largest picture file that is read.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Where the pictures of a list are, and how its columns are called.
#[derive(Args, Default)]
pub struct ListArgs {
    /// Folder the image paths are relative to [default: the list's].
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Foreign column names, as ours=theirs,…
    #[arg(long, default_value = "", value_name = "PAIRS")]
    pub columns: ColumnNames,
}

impl ListArgs {
    /// The folder the paths in `list` are relative to.
    pub fn folder(&self, list: &Path) -> PathBuf {
        let own = if list.is_dir() { list } else { list.parent().unwrap_or(Path::new("")) };
        self.images.clone().unwrap_or_else(|| own.to_owned())
    }
}

/// The main faces of a list's pictures under one model.
pub struct Embedded {
    /// The model's card.
    pub card: ModelCard,
    /// By the picture's name in the list; absent where it could not be used.
    embeddings: HashMap<String, Embedding>,
    /// What was wrong with the others, in the order of the list.
    pub failures: Vec<String>,
}

impl Embedded {
    /// Embed the main face of each of `names`, files in `folder`, with the model called `model`.
    pub fn read<'a>(
        names: impl IntoIterator<Item = &'a str>,
        folder: &Path,
        model: &str,
        session: &Session,
        common: &Common,
    ) -> Result<Self> {
        let card = session.store.card(model)?;
        if card.role != Role::Embedder {
            let reason = format!("{model} finds no similarity; `perface models list` shows the embedders");
            return Err(perface::Error::Usage(reason).into());
        }
        let mut seen = std::collections::HashSet::new();
        let names: Vec<&str> = names.into_iter().filter(|name| seen.insert(*name)).collect();
        let cache_folder = session.store.root().join("embeddings");
        let key = CacheKey {
            model_sha256: card.sha256.clone(),
            aligner: format!("file, {}", aligner_key(&card)),
            runtime: session.runtime.name().to_owned(),
        };
        let mut cache = EmbeddingCache::open(&cache_folder, key);
        let files: Vec<(&str, PathBuf)> = names.iter().map(|name| (*name, folder.join(name))).collect();
        let hashes = in_parallel(&files, |(_, path)| {
            let bytes = read_limited(path, MAX_FILE_BYTES)?;
            perface::Result::Ok(PixelHash::of_file(&bytes))
        });
        let missing: Vec<&(&str, PathBuf)> = files
            .iter()
            .zip(&hashes)
            .filter(|(_, hash)| hash.as_ref().is_ok_and(|hash| cache.get(*hash).is_none()))
            .map(|(file, _)| file)
            .collect();
        let mut found = HashMap::new();
        if !missing.is_empty() {
            let reader = session.reader(model)?;
            let bar = progress::bar(missing.len(), "faces", common.quiet);
            let results = in_parallel(&missing, |(_, path)| {
                let result = reader.embed_file(path);
                bar.inc(1);
                result
            });
            bar.finish_and_clear();
            found = missing.iter().map(|(name, _)| *name).zip(results).collect();
        }
        let mut embedded = Self { card, embeddings: HashMap::new(), failures: Vec::new() };
        for ((name, _), hash) in files.iter().zip(hashes) {
            let result = match (hash, found.remove(name)) {
                (Err(error), _) | (Ok(_), Some(Err(error))) => Err(error),
                (Ok(hash), Some(Ok(embedding))) => {
                    cache.insert(hash, embedding.clone());
                    Ok(embedding)
                }
                (Ok(hash), None) => match cache.get(hash) {
                    Some(embedding) => Ok(embedding.clone()),
                    None => continue,
                },
            };
            match result {
                Ok(embedding) => drop(embedded.embeddings.insert((*name).to_owned(), embedding)),
                Err(error) => embedded.failures.push(error.to_string()),
            }
        }
        cache.save().with_context(|| cache_folder.display().to_string())?;
        if !names.is_empty() && embedded.embeddings.is_empty() {
            let first = embedded.failures.first().map_or("", String::as_str);
            let reason = format!("none of {} pictures could be used, the first because: {first}", names.len());
            return Err(perface::Error::Usage(reason).into());
        }
        Ok(embedded)
    }

    /// The face in the picture called `name`.
    pub fn of(&self, name: &str) -> Option<&Embedding> {
        self.embeddings.get(name)
    }

    /// The cosine of two pictures' faces.
    pub fn cosine(&self, a: &str, b: &str) -> Option<f32> {
        Some(self.of(a)?.cosine(self.of(b)?))
    }

    /// Say on standard error what could not be used, the first few by name.
    pub fn report_failures(&self) {
        const NAMED: usize = 5;
        for failure in self.failures.iter().take(NAMED) {
            eprintln!("perface: {failure}");
        }
        if self.failures.len() > NAMED {
            eprintln!("perface: and {} more pictures could not be used", self.failures.len() - NAMED);
        }
    }
}
