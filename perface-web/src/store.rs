//! The database of a study: who takes part, what they were asked, and what they answered.
//!
//! SQLite with a write-ahead log and `synchronous = FULL`: when a transaction is committed it is on the disk, and a
//! process that is killed at any moment leaves every committed answer and no half. Deleted answers are overwritten.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use perface_evidence::study::trial::{Answer, Asked, Desk, Purpose};
use perface_evidence::study::{Side, Study};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::auth::{self, TokenHash};

/// Name of the database in a study's folder.
pub const FILE_NAME: &str = "answers.db";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS person (
    number INTEGER PRIMARY KEY, token_hash BLOB NOT NULL UNIQUE, external TEXT, joined_at INTEGER NOT NULL,
    practised INTEGER NOT NULL DEFAULT 0, withdrawn_at INTEGER);
CREATE TABLE IF NOT EXISTS asked (
    person INTEGER NOT NULL REFERENCES person(number), number INTEGER NOT NULL, sample TEXT NOT NULL,
    purpose TEXT NOT NULL, left_face TEXT NOT NULL, asked_at INTEGER NOT NULL,
    choice TEXT, ms INTEGER, answered_at INTEGER, PRIMARY KEY (person, number)) WITHOUT ROWID;
";

/// Somebody who takes part, beyond their answers.
#[derive(Clone, Debug)]
pub struct PersonRow {
    /// Hash of their personal link.
    pub token_hash: TokenHash,
    /// What a crowd platform calls them.
    pub external: Option<String>,
    /// When they joined, in milliseconds since 1970.
    pub joined_at_ms: u64,
    /// Whether the practice questions are done.
    pub practised: bool,
    /// Whether they withdrew.
    pub withdrawn: bool,
}

/// The database.
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Open the database in `folder`, or make it, for `study`.
    ///
    /// # Errors
    /// If it cannot be opened, or its answers belong to another design.
    pub fn open(folder: &Path, study: &Study) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let connection = Connection::open(&path).with_context(|| path.display().to_string())?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute_batch(TABLES)?;
        let store = Self { connection };
        let design = design_hash(study)?;
        let kept = store.setting("design", || Ok(design.to_vec()))?;
        ensure!(kept == design, "{} has answers to another design than study.json", path.display());
        Ok(store)
    }

    /// A setting, made by `make` if it is not there.
    ///
    /// # Errors
    /// If the database fails.
    pub fn setting(&self, name: &str, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let found = self
            .connection
            .query_row("SELECT value FROM setting WHERE name = ?1", [name], |row| row.get(0))
            .optional()?;
        if let Some(value) = found {
            return Ok(value);
        }
        let value = make()?;
        self.connection.execute("INSERT INTO setting (name, value) VALUES (?1, ?2)", params![name, value])?;
        Ok(value)
    }

    /// The secret from which names of questions and pictures are made.
    ///
    /// # Errors
    /// If the database fails.
    pub fn secret(&self) -> Result<[u8; 32]> {
        let kept = self.setting("secret", || Ok(auth::random::<32>()?.to_vec()))?;
        kept.try_into().map_err(|_| anyhow::anyhow!("the secret in the database is damaged"))
    }

    /// Everybody, by number, and a desk with all they were asked and answered.
    ///
    /// # Errors
    /// If the database fails or is damaged.
    pub fn load(&self, study: &Study, askable: impl Fn(usize) -> bool) -> Result<(Vec<PersonRow>, Desk)> {
        let mut desk = Desk::new(study, askable);
        let mut people = Vec::new();
        let mut statement = self.connection.prepare(
            "SELECT number, token_hash, external, joined_at, practised, withdrawn_at FROM person ORDER BY number",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number: usize = row.get(0)?;
            ensure!(number == people.len(), "person {number} is out of order");
            let person = PersonRow {
                token_hash: row.get(1)?,
                external: row.get(2)?,
                joined_at_ms: row.get(3)?,
                practised: row.get(4)?,
                withdrawn: row.get::<_, Option<u64>>(5)?.is_some(),
            };
            desk.join(person.joined_at_ms);
            if person.withdrawn {
                desk.withdraw(number)?;
            }
            people.push(person);
        }
        let samples = study.sample_index();
        let mut statement = self.connection.prepare(
            "SELECT person, sample, purpose, left_face, asked_at, choice, ms, answered_at FROM asked ORDER BY person, number",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (sample, choice): (String, Option<String>) = (row.get(1)?, row.get(5)?);
            let side = |text: &str| text.parse::<Side>().map_err(anyhow::Error::msg);
            let answer = match choice {
                Some(choice) => Some(Answer { choice: side(&choice)?, ms: row.get(6)?, answered_at_ms: row.get(7)? }),
                None => None,
            };
            let asked = Asked {
                sample: *samples.get(sample.as_str()).with_context(|| format!("the study has no sample {sample}"))?,
                purpose: row.get::<_, String>(2)?.parse::<Purpose>().map_err(anyhow::Error::msg)?,
                left: side(&row.get::<_, String>(3)?)?,
                asked_at_ms: row.get(4)?,
                answer,
            };
            desk.restore(row.get(0)?, asked);
        }
        Ok((people, desk))
    }

    /// Begin to write.
    ///
    /// # Errors
    /// If the database fails.
    pub fn begin(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")
    }

    /// Put what was written on the disk.
    ///
    /// # Errors
    /// If the database fails; nothing was written then.
    pub fn commit(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("COMMIT")
    }

    /// Forget what was written since [`Store::begin`].
    pub fn roll_back(&self) {
        // There may be nothing to roll back.
        let _ = self.connection.execute_batch("ROLLBACK");
    }

    /// Write a new person.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_person(&self, number: usize, person: &PersonRow) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO person (number, token_hash, external, joined_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![number, person.token_hash, person.external, person.joined_at_ms])
            .map(drop)
    }

    /// Note that a person has practised.
    ///
    /// # Errors
    /// If the database fails.
    pub fn set_practised(&self, number: usize) -> rusqlite::Result<()> {
        self.connection.execute("UPDATE person SET practised = 1 WHERE number = ?1", [number]).map(drop)
    }

    /// Write a question.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_asked(&self, person: usize, number: usize, sample: &str, asked: &Asked) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO asked (person, number, sample, purpose, left_face, asked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                person,
                number,
                sample,
                asked.purpose.as_str(),
                asked.left.to_string(),
                asked.asked_at_ms
            ])
            .map(drop)
    }

    /// Write the answer to a question that has none.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_answer(&self, person: usize, number: usize, answer: &Answer) -> rusqlite::Result<()> {
        let ms = i64::try_from(answer.ms).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached(
                "UPDATE asked SET choice = ?3, ms = ?4, answered_at = ?5 WHERE person = ?1 AND number = ?2 AND choice IS NULL",
            )?
            .execute(params![person, number, answer.choice.to_string(), ms, answer.answered_at_ms])
            .map(drop)
    }

    /// Delete all that a person was asked and answered, and what a platform calls them.
    ///
    /// # Errors
    /// If the database fails.
    pub fn withdraw(&self, number: usize, now_ms: u64) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM asked WHERE person = ?1", [number])?;
        self.connection
            .execute("UPDATE person SET withdrawn_at = ?2, external = NULL WHERE number = ?1", params![number, now_ms])
            .map(drop)
    }

    /// Move what the log holds into the database and empty the log, so that nothing deleted is left in it.
    pub fn empty_log(&self) {
        // A reader may be in the way; the next time will do.
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

/// Hash of what answers refer to. The rules are left out: k may grow while a study runs.
fn design_hash(study: &Study) -> Result<[u8; 32]> {
    let design = serde_json::to_vec(&(study.seed, &study.targets, &study.triplets, &study.samples))?;
    Ok(Sha256::digest(&design).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::placeholder_study;

    #[test]
    fn the_disk_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &placeholder_study(2, 2, 1)).unwrap();
        let pragma = |name: &str| {
            store.connection.pragma_query_value(None, name, |row| {
                row.get::<_, String>(0).or_else(|_| row.get::<_, i64>(0).map(|n| n.to_string()))
            })
        };
        assert_eq!(pragma("journal_mode").unwrap(), "wal");
        assert_eq!(pragma("synchronous").unwrap(), "2", "FULL");
        assert_eq!(pragma("secure_delete").unwrap(), "1");
    }

    #[test]
    fn answers_to_another_design_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path(), &placeholder_study(2, 2, 1)).unwrap();
        let error = Store::open(folder.path(), &placeholder_study(3, 2, 1)).err().unwrap().to_string();
        assert!(error.contains("another design"), "{error}");
        let mut more = placeholder_study(2, 2, 1);
        more.rules.k = 5;
        Store::open(folder.path(), &more).unwrap();
    }

    #[test]
    fn what_was_withdrawn_is_not_left_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let study = placeholder_study(2, 2, 1);
        let store = Store::open(folder.path(), &study).unwrap();
        let mut desk = Desk::new(&study, |_| true);
        let number = desk.join(1);
        let external = "platform-id-4711";
        let row = PersonRow {
            token_hash: [7; 32],
            external: Some(external.to_owned()),
            joined_at_ms: 1,
            practised: false,
            withdrawn: false,
        };
        store.add_person(number, &row).unwrap();
        store.withdraw(number, 2).unwrap();
        store.empty_log();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(external.len()).any(|part| part == external.as_bytes()));
        }
    }
}
