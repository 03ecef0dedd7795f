//! `pool.csv`: who is in a pool, from where, on which terms.
//!
//! A list in the making may lack labels and terms ([`Manifest`], [`Entry`]); a pool in use may not
//! ([`Member`]). Columns the list has beyond ours are kept in their order.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::labels::{AgeGroup, Gender, Group, LabelSource};
use crate::atomic::{self, Overwrite};
use crate::error::{Error, Result};
use crate::table::{ColumnNames, Row, Table};

/// Name of the list inside a pool's folder.
pub const FILE_NAME: &str = "pool.csv";

/// The columns of a complete list, in the order they are written.
pub const COLUMNS: [&str; 9] =
    ["id", "file", "gender", "age_group", "label_source", "source", "licence", "attribution", "contributors"];

/// Longest id, in bytes: it becomes part of reports and file names.
const MAX_ID_BYTES: usize = 120;

/// A face of a pool, with everything the list must say about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its name, unique in the pool.
    pub id: String,
    /// Its picture, `/`-separated and relative to the pool's folder.
    pub file: String,
    /// Apparent gender.
    pub gender: Gender,
    /// Apparent age group.
    pub age_group: AgeGroup,
    /// Who said so.
    pub label_source: LabelSource,
    /// Where the picture is from.
    pub source: String,
    /// Terms of use; may be empty for one's own pictures.
    pub licence: String,
    /// Whom to name.
    pub attribution: String,
    /// People whose pictures went into it; empty for a picture of one person.
    pub contributors: Vec<String>,
    /// Cells of the list's other columns, in the order of [`Manifest::other_columns`].
    #[serde(skip)]
    pub other: Vec<String>,
}

impl Member {
    /// The intersection it belongs to.
    pub fn group(&self) -> Group {
        Group::of(self.gender, self.age_group)
    }
}

/// A line of a list in the making: labels may still be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Line of the file, from 1; 0 if it is not from a file.
    pub line: u64,
    /// As [`Member::id`].
    pub id: String,
    /// As [`Member::file`].
    pub file: String,
    /// As [`Member::gender`].
    pub gender: Option<Gender>,
    /// As [`Member::age_group`].
    pub age_group: Option<AgeGroup>,
    /// As [`Member::label_source`].
    pub label_source: Option<LabelSource>,
    /// As [`Member::source`].
    pub source: String,
    /// As [`Member::licence`].
    pub licence: String,
    /// As [`Member::attribution`].
    pub attribution: String,
    /// As [`Member::contributors`].
    pub contributors: Vec<String>,
    /// As [`Member::other`].
    pub other: Vec<String>,
}

/// A list of faces, checked line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The faces in the order of the file.
    pub entries: Vec<Entry>,
    /// Names of the columns beyond [`COLUMNS`].
    pub other_columns: Vec<String>,
}

impl Manifest {
    /// Read a list that has at least the columns `needed`, which must include `id` and `file`; cells may be empty.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line for a missing column, an empty or repeated id or file, an
    /// unknown label, or a file outside the folder.
    pub fn read(path: &Path, names: &ColumnNames, needed: &[&str]) -> Result<Self> {
        Self::from_table(&Table::read(path, names, needed)?)
    }

    fn from_table(table: &Table) -> Result<Self> {
        table.require(&["id", "file"])?;
        let other_columns: Vec<String> =
            table.header().iter().filter(|name| !COLUMNS.contains(&name.as_str())).cloned().collect();
        let mut entries = Vec::with_capacity(table.rows().len());
        let (mut ids, mut files) = (HashSet::new(), HashSet::new());
        for row in table.rows() {
            let entry = Entry::from_row(&row, &other_columns)?;
            if !ids.insert(row.get("id")) {
                return Err(row.error(format!("id {:?} stands there twice", entry.id)));
            }
            if !files.insert(row.get("file")) {
                return Err(row.error(format!("file {:?} stands there twice", entry.file)));
            }
            entries.push(entry);
        }
        Ok(Self { entries, other_columns })
    }

    /// The list as text, with all [`COLUMNS`] and the others behind them.
    ///
    /// # Errors
    /// [`Error::Usage`] if a row cannot be written as CSV.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let failed = |error: &dyn std::fmt::Display| Error::Usage(format!("could not write {FILE_NAME}: {error}"));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = COLUMNS.iter().copied().chain(self.other_columns.iter().map(String::as_str));
        writer.write_record(header).map_err(|error| failed(&error))?;
        for entry in &self.entries {
            let contributors = entry.contributors.join(";");
            let ours = [
                entry.id.as_str(),
                &entry.file,
                entry.gender.map_or("", Gender::as_str),
                entry.age_group.map_or("", AgeGroup::as_str),
                entry.label_source.map_or("", LabelSource::as_str),
                &entry.source,
                &entry.licence,
                &entry.attribution,
                &contributors,
            ];
            let others = (0..self.other_columns.len()).map(|column| entry.other.get(column).map_or("", String::as_str));
            writer.write_record(ours.into_iter().chain(others)).map_err(|error| failed(&error))?;
        }
        writer.into_inner().map_err(|error| failed(&error))
    }

    /// Write the list, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic::write(path, &self.to_csv()?, Overwrite::Always)
    }
}

impl Entry {
    fn from_row(row: &Row<'_>, other_columns: &[String]) -> Result<Self> {
        let id: String = row.parse("id")?;
        if id.len() > MAX_ID_BYTES || id.starts_with('.') || id.chars().any(|c| c.is_control() || "/\\".contains(c)) {
            let rule = format!("an id has at most {MAX_ID_BYTES} bytes, no slash, and no dot at its beginning");
            return Err(row.error(format!("id {id:?}: {rule}")));
        }
        let file: String = row.parse("file")?;
        if let Err(reason) = check_inside(&file) {
            return Err(row.error(format!("file {file:?} {reason}")));
        }
        let people = row.get("contributors").split(';').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self {
            line: row.line(),
            id,
            file,
            gender: row.parse_optional("gender")?,
            age_group: row.parse_optional("age_group")?,
            label_source: row.parse_optional("label_source")?,
            source: row.get("source").to_owned(),
            licence: row.get("licence").to_owned(),
            attribution: row.get("attribution").to_owned(),
            contributors: people.map(str::to_owned).collect(),
            other: other_columns.iter().map(|name| row.get(name).to_owned()).collect(),
        })
    }

    /// The face, if all its labels are known; otherwise the column that is empty.
    pub fn complete(self) -> std::result::Result<Member, &'static str> {
        Ok(Member {
            gender: self.gender.ok_or("gender")?,
            age_group: self.age_group.ok_or("age_group")?,
            label_source: self.label_source.ok_or("label_source")?,
            id: self.id,
            file: self.file,
            source: self.source,
            licence: self.licence,
            attribution: self.attribution,
            contributors: self.contributors,
            other: self.other,
        })
    }
}

impl From<Member> for Entry {
    fn from(member: Member) -> Self {
        Self {
            line: 0,
            id: member.id,
            file: member.file,
            gender: Some(member.gender),
            age_group: Some(member.age_group),
            label_source: Some(member.label_source),
            source: member.source,
            licence: member.licence,
            attribution: member.attribution,
            contributors: member.contributors,
            other: member.other,
        }
    }
}

/// Check that a relative path, as written, cannot leave the folder it is relative to.
///
/// # Errors
/// Why it is refused, to be put behind the path.
pub fn check_inside(file: &str) -> std::result::Result<(), &'static str> {
    if file.is_empty() {
        return Err("is empty");
    }
    if file.contains(['\\', '\0']) || file.chars().any(char::is_control) {
        return Err("has a backslash or control character; parts are separated by /");
    }
    let named = file.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let normal = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    if named && normal { Ok(()) } else { Err("leads out of the folder; it must be relative, without . or ..") }
}

/// The picture `file` inside `folder`, both resolved: links that lead out of the folder are refused.
///
/// # Errors
/// [`Error::Io`] if it is not there, [`Error::Unreadable`] if it is not inside.
pub fn resolve_inside(folder: &Path, file: &str) -> Result<PathBuf> {
    let path = folder.join(file);
    let unreadable = |reason: &str| Error::Unreadable { path: path.clone(), reason: reason.to_owned() };
    check_inside(file).map_err(unreadable)?;
    let real_folder = folder.canonicalize().map_err(Error::io(folder))?;
    let real = path.canonicalize().map_err(Error::io(&path))?;
    if real.starts_with(&real_folder) { Ok(path) } else { Err(unreadable("is a link that leads out of the folder")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Manifest> {
        Manifest::from_table(&Table::parse(Path::new("pool.csv"), text.as_bytes(), &ColumnNames::default(), &[])?)
    }

    #[test]
    fn unknown_columns_are_kept_behind_ours() {
        let manifest = parse("note,file,id,gender,rank\n\"a, b\",x.png,x,male,3\n").unwrap();
        assert_eq!(manifest.other_columns, ["note", "rank"]);
        let text = String::from_utf8(manifest.to_csv().unwrap()).unwrap();
        assert_eq!(
            text,
            "id,file,gender,age_group,label_source,source,licence,attribution,contributors,note,rank\n\
             x,x.png,male,,,,,,,\"a, b\",3\n"
        );
        let mut again = parse(&text).unwrap();
        again.entries[0].line = manifest.entries[0].line;
        assert_eq!(again, manifest);
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, want) in [
            ("id\na\n", "line 1: column file missing"),
            ("id,file\n,a.png\n", "line 2: id is empty"),
            ("id,file\na,\n", "line 2: file is empty"),
            ("id,file\n../a,a.png\n", "line 2: id \"../a\": an id has at most"),
            ("id,file\na,a.png\na,b.png\n", "line 3: id \"a\" stands there twice"),
            ("id,file\na,a.png\nb,a.png\n", "line 3: file \"a.png\" stands there twice"),
            ("id,file,gender\na,a.png,man\n", "line 2: gender: \"man\" is none of male, female"),
            ("id,file\na,../a.png\n", "line 2: file \"../a.png\" leads out of the folder"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(want), "{message} lacks {want}");
        }
    }

    #[test]
    fn contributors_are_separated_by_semicolons() {
        let manifest = parse("id,file,contributors\na,a.png,001; 002 ;;003\n").unwrap();
        assert_eq!(manifest.entries[0].contributors, ["001", "002", "003"]);
    }

    #[test]
    fn a_face_without_a_label_is_not_complete() {
        let entry = parse("id,file,gender\na,a.png,male\n").unwrap().entries.remove(0);
        assert_eq!(entry.complete(), Err("age_group"));
    }

    #[test]
    fn paths_that_could_leave_the_folder_are_refused() {
        for file in [
            "",
            "/a.png",
            "../a.png",
            "a/../../b.png",
            "./a.png",
            "a/./b.png",
            "a//b.png",
            "a/",
            "a\\..\\b.png",
            "a\0.png",
            ".",
        ] {
            assert!(check_inside(file).is_err(), "{file:?}");
        }
        for file in ["a.png", "faces/a.png", "ä/..a.png"] {
            assert_eq!(check_inside(file), Ok(()), "{file:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (pool, outside) = (folder.path().join("pool"), folder.path().join("secret.png"));
        std::fs::create_dir(&pool).unwrap();
        std::fs::write(&outside, b"x").unwrap();
        std::fs::write(pool.join("own.png"), b"x").unwrap();
        std::os::unix::fs::symlink(&outside, pool.join("link.png")).unwrap();
        assert!(resolve_inside(&pool, "own.png").is_ok());
        assert!(resolve_inside(&pool, "link.png").unwrap_err().to_string().contains("leads out"));
        assert!(matches!(resolve_inside(&pool, "none.png"), Err(Error::Io { .. })));
    }

    proptest! {
        #[test]
        fn an_accepted_path_joined_to_a_folder_stays_below_it(file in "[./a\\\\]{0,8}") {
            if check_inside(&file).is_ok() {
                let joined = Path::new("pool").join(&file);
                prop_assert!(joined.starts_with("pool") && joined.components().count() > 1);
                prop_assert!(!joined.components().any(|part| part == Component::ParentDir));
            }
        }
    }
}
