//! Candidate faces: a folder of pictures, a list of who they are, and what was measured of it.
//!
//! ```text
//! pool/pool.csv    one line per face: labels, source, terms
//! pool/pool.json   measured accuracy of the group choice, per network
//! pool/…           the pictures
//! ```

pub mod accuracy;
pub mod builtin;
pub mod cache;
pub mod labels;
pub mod manifest;

use std::path::{Path, PathBuf};

pub use accuracy::{AccuracyMethod, GroupAccuracy, PoolRecord};
pub use cache::{CacheKey, EmbeddingCache, PixelHash};
pub use labels::{AgeGroup, Gender, Group, LabelSource};
pub use manifest::{Entry, Manifest, Member};

use crate::embedding::{Embedding, EmbeddingSet};
use crate::error::{Error, Result};
use crate::table::ColumnNames;

/// The faces of one folder, with labels and terms.
#[derive(Clone, Debug)]
pub struct Pool {
    folder: PathBuf,
    members: Vec<Member>,
    other_columns: Vec<String>,
    record: PoolRecord,
}

impl Pool {
    /// Read the pool in `folder`: its list, its record if there is one, and that every picture is there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`] or [`Error::Unreadable`], with file and line: no list, a missing column or
    /// label, an empty or repeated id or file, a picture that is missing or outside the folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(manifest::FILE_NAME);
        let list = Manifest::read(&path, &ColumnNames::default(), &manifest::COLUMNS)?;
        let mut members = Vec::with_capacity(list.entries.len());
        for entry in list.entries {
            let line = entry.line;
            let at_line =
                |reason: String| Error::Malformed { path: path.clone(), reason: format!("line {line}: {reason}") };
            manifest::resolve_inside(folder, &entry.file).map_err(|error| at_line(error.to_string()))?;
            members.push(entry.complete().map_err(|column| at_line(format!("{column} is empty")))?);
        }
        if members.is_empty() {
            return Err(Error::Malformed { path, reason: "lists no face".to_owned() });
        }
        let record = PoolRecord::load(folder)?;
        Ok(Self { folder: folder.to_owned(), members, other_columns: list.other_columns, record })
    }

    /// The pool's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The faces in the order of the list.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Where the picture of `member` is.
    pub fn path_of(&self, member: &Member) -> PathBuf {
        self.folder.join(&member.file)
    }

    /// What the list says of `member` in a column of its own called `name`; `None` if that is nothing.
    pub fn cell<'a>(&self, member: &'a Member, name: &str) -> Option<&'a str> {
        let index = self.other_columns.iter().position(|column| column == name)?;
        member.other.get(index).map(String::as_str).filter(|cell| !cell.is_empty())
    }

    /// How many faces each of the four intersections has, in the order of [`Group::INTERSECTIONS`].
    pub fn counts(&self) -> [usize; 4] {
        Group::INTERSECTIONS.map(|group| self.members.iter().filter(|member| member.group() == group).count())
    }

    /// What was measured of the pool.
    pub fn record(&self) -> &PoolRecord {
        &self.record
    }

    /// Note a measurement and write `pool.json`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn record_accuracy(&mut self, model_sha256: &str, measured: GroupAccuracy) -> Result<()> {
        self.record.record(model_sha256, measured);
        self.record.save(&self.folder)
    }

    /// Write the list as `pool.csv`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self) -> Result<()> {
        let entries = self.members.iter().cloned().map(Entry::from).collect();
        Manifest { entries, other_columns: self.other_columns.clone() }.write(&self.folder.join(manifest::FILE_NAME))
    }

    /// Descriptors of all members, in their order: from `cache` where the pixels are known, otherwise by `embed`.
    /// The cache is saved if it grew; that it cannot be is only warned of.
    ///
    /// # Errors
    /// The first error of `pixel_hash` or `embed`; [`Error::Shape`] if descriptors differ in width.
    pub fn embed(
        &self,
        cache: &mut EmbeddingCache,
        pixel_hash: impl Fn(&Path) -> Result<PixelHash>,
        embed: impl Fn(&Path) -> Result<Embedding>,
    ) -> Result<EmbeddingSet> {
        let mut rows = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let path = manifest::resolve_inside(&self.folder, &member.file)?;
            let pixels = pixel_hash(&path)?;
            let row = match cache.get(pixels) {
                Some(known) => known.clone(),
                None => {
                    let fresh = embed(&path)?;
                    cache.insert(pixels, fresh.clone());
                    fresh
                }
            };
            rows.push(row);
        }
        if let Err(error) = cache.save() {
            tracing::warn!("face descriptors are not kept: {error}");
        }
        EmbeddingSet::from_rows(&rows).ok_or_else(|| {
            let widths = rows.iter().map(Embedding::width);
            Error::Shape {
                model: "face descriptors of the pool".to_owned(),
                what: "width".to_owned(),
                got: widths.clone().max().into_iter().collect(),
                want: widths.min().into_iter().collect(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const HEADER: &str = "id,file,gender,age_group,label_source,source,licence,attribution,contributors,note\n";

    /// A folder with two faces whose pictures are one byte each.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, byte) in [("a.png", 1), ("b.png", 2)] {
            std::fs::write(folder.path().join(name), [byte]).unwrap();
        }
        list(folder.path(), "a,a.png,male,young,csv,own,,,,n1\nb,b.png,female,older,composite,s,CC BY 4.0,X,1;2,n2\n");
        folder
    }

    fn list(folder: &Path, rows: &str) {
        std::fs::write(folder.join("pool.csv"), format!("{HEADER}{rows}")).unwrap();
    }

    #[test]
    fn a_pool_is_read_and_written_unchanged() {
        let folder = folder();
        let pool = Pool::load(folder.path()).unwrap();
        assert_eq!(pool.members()[1].contributors, ["1", "2"]);
        assert_eq!(pool.members()[1].group(), Group::OlderFemale);
        assert_eq!(pool.counts(), [1, 0, 0, 1]);
        let before = std::fs::read(folder.path().join("pool.csv")).unwrap();
        pool.save().unwrap();
        assert_eq!(std::fs::read(folder.path().join("pool.csv")).unwrap(), before);
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_line() {
        let folder = folder();
        for (rows, want) in [
            ("", "lists no face"),
            ("a,a.png,male,,csv,,,,,\n", "line 2: age_group is empty"),
            ("a,a.png,male,young,csv,,,,,\nc,c.png,male,young,csv,,,,,\n", "line 3:"),
            ("a,/a.png,male,young,csv,,,,,\n", "leads out of the folder"),
        ] {
            list(folder.path(), rows);
            let message = Pool::load(folder.path()).unwrap_err().to_string();
            assert!(message.contains("pool.csv") && message.contains(want), "{message} lacks {want}");
        }
        std::fs::write(folder.path().join("pool.csv"), "id,file,gender\n").unwrap();
        let message = Pool::load(folder.path()).unwrap_err().to_string();
        assert!(message.contains("columns age_group, label_source, source"), "{message}");
    }

    #[test]
    fn known_pixels_are_not_embedded_again() {
        let folder = folder();
        let pool = Pool::load(folder.path()).unwrap();
        let key = CacheKey { model_sha256: "m".to_owned(), aligner: "a".to_owned(), runtime: "r".to_owned() };
        let calls = Cell::new(0);
        let first_byte = |path: &Path| std::fs::read(path).map(|bytes| bytes[0]).map_err(Error::io(path));
        let run = || {
            let mut cache = EmbeddingCache::open(&folder.path().join("cache"), key.clone());
            let hash = |path: &Path| Ok(PixelHash([first_byte(path)?; 32]));
            let embed = |path: &Path| {
                calls.set(calls.get() + 1);
                Ok(Embedding::from_raw(&[1.0, f32::from(first_byte(path)?)]).unwrap())
            };
            pool.embed(&mut cache, hash, embed).unwrap()
        };
        let first = run();
        assert_eq!((first.len(), calls.get()), (2, 2));
        assert_eq!(run(), first);
        assert_eq!(calls.get(), 2);
        std::fs::write(folder.path().join("b.png"), [9]).unwrap();
        assert_ne!(run(), first);
        assert_eq!(calls.get(), 3, "only the changed picture");
    }

    #[test]
    fn a_measurement_survives_loading() {
        let folder = folder();
        let share = crate::summary::Proportion::wilson(3, 4).unwrap();
        let measured = GroupAccuracy {
            gender: share,
            age: share,
            four_way: share,
            n: 4,
            method: AccuracyMethod::HeldOut,
            definition: "mean".to_owned(),
            measured_on: "four faces".to_owned(),
        };
        Pool::load(folder.path()).unwrap().record_accuracy("ab", measured.clone()).unwrap();
        let again = Pool::load(folder.path()).unwrap();
        assert_eq!(again.record().held_out("ab", "mean").unwrap().n, 4);
    }
}
