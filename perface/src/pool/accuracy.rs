//! `pool.json`: how often a pool leads to the right group, measured, per embedding network.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Overwrite};
use crate::error::{Error, Result};
use crate::file::read_limited;
use crate::summary::Proportion;

/// Name of the record inside a pool's folder.
pub const FILE_NAME: &str = "pool.json";

/// Version of the record's layout.
const SCHEMA: u32 = 1;
/// Largest record that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// On which faces the accuracy was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccuracyMethod {
    /// Each pool face against the others, except those that share a contributor with it.
    LeaveOneOut,
    /// Labelled faces that are not in the pool.
    HeldOut,
}

/// How often the group chosen among the four intersections was right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupAccuracy {
    /// The chosen group had the right gender.
    pub gender: Proportion,
    /// The chosen group had the right age group.
    pub age: Proportion,
    /// Both were right.
    pub four_way: Proportion,
    /// Faces that were tried.
    pub n: usize,
    /// Which faces they were.
    pub method: AccuracyMethod,
    /// Group distance in use, by its name.
    pub definition: String,
    /// The data in words, such as `utkface, 1000 adults`.
    pub measured_on: String,
}

/// What is known about a pool beside its list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolRecord {
    schema: u32,
    /// Measurements by SHA-256 of the embedding network's file, in lower-case hex.
    #[serde(default)]
    accuracy: BTreeMap<String, Vec<GroupAccuracy>>,
    /// Entries of later versions, kept as they are.
    #[serde(flatten)]
    other: BTreeMap<String, serde_json::Value>,
}

impl Default for PoolRecord {
    fn default() -> Self {
        Self { schema: SCHEMA, accuracy: BTreeMap::new(), other: BTreeMap::new() }
    }
}

impl PoolRecord {
    /// Read the record of the pool in `folder`; an empty one if there is none.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] if it is not such a record or a count in it is impossible.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let bytes = match read_limited(&path, MAX_BYTES) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            other => other?,
        };
        let malformed = |reason: String| Error::Malformed { path: path.clone(), reason };
        let record: Self = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if record.schema != SCHEMA {
            return Err(malformed(format!("has schema {}, this version reads {SCHEMA}", record.schema)));
        }
        Ok(record)
    }

    /// Write the record into `folder`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE_NAME);
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Malformed { path: path.clone(), reason: error.to_string() })?;
        text.push(b'\n');
        atomic::write(&path, &text, Overwrite::Always)
    }

    /// All measurements with this network.
    pub fn measurements(&self, model_sha256: &str) -> &[GroupAccuracy] {
        self.accuracy.get(&model_sha256.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// The accuracy on faces outside the pool, latest first; `None` if it was not measured with this network and
    /// this group distance. Leave-one-out does not count: composites of one studio resemble each other.
    pub fn held_out(&self, model_sha256: &str, definition: &str) -> Option<&GroupAccuracy> {
        let fits = |found: &&GroupAccuracy| found.method == AccuracyMethod::HeldOut && found.definition == definition;
        self.measurements(model_sha256).iter().rev().find(fits)
    }

    /// Note a measurement; it replaces the one on the same data by the same method and distance.
    pub fn record(&mut self, model_sha256: &str, measured: GroupAccuracy) {
        let list = self.accuracy.entry(model_sha256.to_ascii_lowercase()).or_default();
        list.retain(|old| {
            (old.method, &old.definition, &old.measured_on)
                != (measured.method, &measured.definition, &measured.measured_on)
        });
        list.push(measured);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(hits: usize, method: AccuracyMethod, measured_on: &str) -> GroupAccuracy {
        let share = Proportion::wilson(hits, 10).unwrap();
        GroupAccuracy {
            gender: share,
            age: share,
            four_way: share,
            n: 10,
            method,
            definition: "mean-ci-upper".to_owned(),
            measured_on: measured_on.to_owned(),
        }
    }

    #[test]
    fn a_record_is_read_back_with_entries_of_later_versions() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(PoolRecord::load(folder.path()).unwrap(), PoolRecord::default());
        std::fs::write(folder.path().join(FILE_NAME), r#"{"schema": 1, "later": [1]}"#).unwrap();
        let mut record = PoolRecord::load(folder.path()).unwrap();
        record.record("AB", measured(9, AccuracyMethod::HeldOut, "x"));
        record.save(folder.path()).unwrap();
        assert_eq!(PoolRecord::load(folder.path()).unwrap(), record);
        assert!(std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap().contains("later"));
    }

    #[test]
    fn only_a_held_out_measurement_of_this_network_and_distance_counts() {
        let mut record = PoolRecord::default();
        record.record("ab", measured(9, AccuracyMethod::LeaveOneOut, "x"));
        assert_eq!(record.held_out("ab", "mean-ci-upper"), None);
        record.record("ab", measured(8, AccuracyMethod::HeldOut, "x"));
        record.record("ab", measured(7, AccuracyMethod::HeldOut, "x"));
        assert_eq!(record.measurements("ab").len(), 2, "the second replaces the first");
        assert_eq!(record.held_out("AB", "mean-ci-upper").unwrap().gender.hits, 7);
        assert_eq!(record.held_out("ab", "mean"), None);
        assert_eq!(record.held_out("cd", "mean-ci-upper"), None);
    }

    #[test]
    fn impossible_counts_and_other_schemas_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let forged = serde_json::to_string(&measured(5, AccuracyMethod::HeldOut, "x")).unwrap();
        let forged = format!(r#"{{"schema": 1, "accuracy": {{"ab": [{}]}}}}"#, forged.replace(":5,", ":50,"));
        for text in ["", "[]", r#"{"schema": 2}"#, r#"{"accuracy": {}}"#, &forged] {
            std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
            let message = PoolRecord::load(folder.path()).unwrap_err().to_string();
            assert!(message.contains(FILE_NAME), "{message}");
        }
    }
}
