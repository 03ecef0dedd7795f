//! Faces a study can be drawn from: `groups.csv`, a pool, or CelebAMask-HQ.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::celeba;
use super::{Override, Place};
use perface::error::{Error, Result};
use perface::pool::manifest::{self, Manifest};
use perface::pool::{AgeGroup, Gender};
use perface::table::{ColumnNames, Table};

/// Name of the list of labelled faces in a folder.
pub const GROUPS: &str = "groups.csv";

/// First age of an adult, in years.
pub const ADULT_FROM_YEARS: f32 = 18.0;

/// A face a study can be drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceEntry {
    /// The picture, relative to the list's folder.
    pub image: String,
    /// Apparent gender.
    pub gender: Gender,
    /// Apparent age group, where the list knows it.
    pub age_group: Option<AgeGroup>,
    /// Wears glasses or a hat.
    pub covered: bool,
    /// Turned so far to the side, in degrees, where the list knows it.
    pub yaw_deg: Option<f32>,
    /// Age in years, where the list knows it.
    pub age_years: Option<f32>,
    /// Who it is, where the list knows it.
    pub person: Option<String>,
}

/// A folder and the faces in it.
#[derive(Clone, Debug)]
pub struct FaceList {
    /// The folder the pictures are relative to.
    pub folder: PathBuf,
    /// The faces.
    pub faces: Vec<FaceEntry>,
    /// Corrections that were applied.
    pub overrides: Vec<Override>,
}

/// Read the faces of `path`: a list, or a folder with `groups.csv`, `pool.csv` or CelebAMask-HQ's lists in it.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] with the line; [`Error::Usage`] if the folder has no list.
pub fn read(path: &Path, names: &ColumnNames, overrides: &[Override]) -> Result<FaceList> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let list = |faces| FaceList { folder: folder.to_owned(), faces, overrides: overrides.to_owned() };
    if path.is_file() && path.file_name().is_some_and(|name| name == manifest::FILE_NAME) {
        return Ok(list(of_pool(path)?));
    }
    if path.is_file() {
        return Ok(list(of_groups(path, names)?));
    }
    if path.join(celeba::ATTRIBUTES).is_file() {
        return Ok(list(celeba::read(path, overrides)?));
    }
    if path.join(GROUPS).is_file() {
        return Ok(list(of_groups(&path.join(GROUPS), names)?));
    }
    if path.join(manifest::FILE_NAME).is_file() {
        return Ok(list(of_pool(&path.join(manifest::FILE_NAME))?));
    }
    Err(Error::Usage(format!(
        "{}: no {GROUPS}, {} or {} is there; `perface pool build` labels a folder of portraits",
        path.display(),
        manifest::FILE_NAME,
        celeba::ATTRIBUTES
    )))
}

/// `groups.csv` with the columns image and gender, and perhaps age_group, age (years), person, glasses and hat (1 or 0),
/// yaw (degrees).
fn of_groups(path: &Path, names: &ColumnNames) -> Result<Vec<FaceEntry>> {
    let table = Table::read(path, names, &["image", "gender"])?;
    let mut seen = std::collections::HashSet::new();
    let one = |row: perface::table::Row| {
        let image: String = row.parse("image")?;
        if !seen.insert(image.clone()) {
            return Err(row.error(format!("image {image:?} stands there twice")));
        }
        let flag = |name: &str| match row.get(name) {
            "" | "0" | "-1" | "no" | "false" => Ok(false),
            "1" | "yes" | "true" => Ok(true),
            other => Err(row.error(format!("{name}: {other:?} is none of 0, 1"))),
        };
        Ok(FaceEntry {
            image,
            gender: row.parse("gender")?,
            age_group: row.parse_optional("age_group")?,
            covered: flag("glasses")? || flag("hat")?,
            yaw_deg: row.parse_optional("yaw")?,
            age_years: row.parse_optional("age")?,
            person: row.parse_optional("person")?,
        })
    };
    table.rows().map(one).collect()
}

fn of_pool(path: &Path) -> Result<Vec<FaceEntry>> {
    let list = Manifest::read(path, &ColumnNames::default(), &["id", "file", "gender"])?;
    let missing =
        |line: u64| Error::Malformed { path: path.to_owned(), reason: format!("line {line}: gender is empty") };
    let one = |entry: manifest::Entry| {
        Ok(FaceEntry {
            gender: entry.gender.ok_or_else(|| missing(entry.line))?,
            image: entry.file,
            age_group: entry.age_group,
            covered: false,
            yaw_deg: None,
            age_years: None,
            person: None,
        })
    };
    list.entries.into_iter().map(one).collect()
}

/// A face chosen by hand, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The picture, as the list of faces names it.
    pub image: String,
    /// A source's triplet and its place in it; `None` for a target.
    pub source: Option<(String, Place)>,
}

/// Read a hand-picked list with the columns `image, role` (target, c, a or b) and, for sources, `triplet`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] with the line.
pub fn read_picks(path: &Path) -> Result<Vec<Pick>> {
    let table = Table::read(path, &ColumnNames::default(), &["image", "role"])?;
    let one = |row: perface::table::Row| {
        let source = match row.get("role") {
            "target" => None,
            "c" => Some((row.parse("triplet")?, Place::C)),
            "a" => Some((row.parse("triplet")?, Place::A)),
            "b" => Some((row.parse("triplet")?, Place::B)),
            other => return Err(row.error(format!("role {other:?} is none of target, c, a, b"))),
        };
        Ok(Pick { image: row.parse("image")?, source })
    };
    table.rows().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_by_the_list_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let read = || read(folder.path(), &ColumnNames::default(), &[]);
        assert!(read().unwrap_err().to_string().contains("no groups.csv, pool.csv or CelebAMask"));
        std::fs::write(folder.path().join("pool.csv"), "id,file,gender,age_group\nx,x.png,male,young\n").unwrap();
        assert_eq!(read().unwrap().faces[0].image, "x.png");
        std::fs::write(folder.path().join(GROUPS), "image,gender,age,hat,person\na.png,female,31,1,p1\n").unwrap();
        let faces = read().unwrap().faces;
        assert_eq!((faces[0].age_years, faces[0].covered, faces[0].person.as_deref()), (Some(31.0), true, Some("p1")));
    }

    #[test]
    fn picks_name_a_place_in_a_triplet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picks.csv");
        std::fs::write(&path, "image,role,triplet\nt.png,target,\nc.png,c,s1\n").unwrap();
        let picks = read_picks(&path).unwrap();
        assert_eq!(picks[0].source, None);
        assert_eq!(picks[1].source, Some(("s1".to_owned(), Place::C)));
        std::fs::write(&path, "image,role,triplet\nc.png,c,\n").unwrap();
        assert!(read_picks(&path).unwrap_err().to_string().contains("line 2: triplet is empty"));
    }
}
