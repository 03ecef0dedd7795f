//! `groups.csv`: labelled faces, some to compare with (gallery) and some to tell the group of (query).

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::draw::{Seed, shuffle};
use crate::error::{Error, Result};
use crate::pool::{AgeGroup, Gender, Group};
use crate::table::{ColumnNames, Table};

/// What a labelled face is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To compare with.
    Gallery,
    /// To tell the group of.
    Query,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gallery => "gallery",
            Self::Query => "query",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "gallery" => Ok(Self::Gallery),
            "query" => Ok(Self::Query),
            _ => Err(format!("{text:?} is none of gallery, query")),
        }
    }
}

/// A picture of one face whose apparent gender and age group are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelledFace {
    /// The picture, relative to the list or to a folder named beside it.
    pub image: String,
    /// Apparent gender.
    pub gender: Gender,
    /// Apparent age group.
    pub age_group: AgeGroup,
    /// What it is for; `None` where the list has no role.
    pub role: Option<Role>,
}

/// Read a list with the columns `image, gender, age_group` and perhaps `role`; others are ignored.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] with the line for a missing column, an unknown label or role, or a picture that
/// stands there twice, as the same face must not be compared with itself.
pub fn read_faces(path: &Path, names: &ColumnNames) -> Result<Vec<LabelledFace>> {
    let table = Table::read(path, names, &["image", "gender", "age_group"])?;
    let mut images = std::collections::HashSet::new();
    let faces = table.rows().map(|row| {
        if !images.insert(row.get("image")) {
            return Err(row.error(format!("image {:?} stands there twice", row.get("image"))));
        }
        Ok(LabelledFace {
            image: row.parse("image")?,
            gender: row.parse("gender")?,
            age_group: row.parse("age_group")?,
            role: row.parse_optional("role")?,
        })
    });
    faces.collect()
}

/// The list as text.
///
/// # Errors
/// [`Error::Usage`] if a row cannot be written as CSV.
pub fn faces_csv(faces: &[LabelledFace]) -> Result<Vec<u8>> {
    let failed = |error: &dyn fmt::Display| Error::Usage(format!("could not write the list: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["image", "gender", "age_group", "role"]).map_err(|error| failed(&error))?;
    for face in faces {
        let role = face.role.map_or(String::new(), |role| role.to_string());
        let row = [face.image.as_str(), face.gender.as_str(), face.age_group.as_str(), &role];
        writer.write_record(row).map_err(|error| failed(&error))?;
    }
    writer.into_inner().map_err(|error| failed(&error))
}

/// Draw a gallery and queries of equal numbers from each intersection, without overlap; faces not drawn get no role.
///
/// # Errors
/// [`Error::Usage`] naming an intersection with too few faces.
pub fn draw_roles(faces: &mut [LabelledFace], gallery: usize, queries: usize, seed: Seed) -> Result<()> {
    for group in Group::INTERSECTIONS {
        let mut inside: Vec<&mut LabelledFace> =
            faces.iter_mut().filter(|face| group.contains(face.gender, face.age_group)).collect();
        if inside.len() < gallery.saturating_add(queries) {
            let found = inside.len();
            return Err(Error::Usage(format!("{group}: {found} faces, but {gallery} + {queries} were asked for")));
        }
        shuffle(&mut seed.keyed("group-roles", &[group.as_str().as_bytes()]), &mut inside);
        for (place, face) in inside.into_iter().enumerate() {
            face.role = match place {
                _ if place < gallery => Some(Role::Gallery),
                _ if place < gallery + queries => Some(Role::Query),
                _ => None,
            };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faces(per_group: usize) -> Vec<LabelledFace> {
        let labels = Group::INTERSECTIONS.iter().filter_map(|group| Some((group.gender()?, group.age_group()?)));
        let one = |(gender, age_group), i| LabelledFace {
            image: format!("{gender}/{age_group}/{i}"),
            gender,
            age_group,
            role: None,
        };
        labels.flat_map(|label| (0..per_group).map(move |i| one(label, i))).collect()
    }

    #[test]
    fn a_list_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups.csv");
        let mut faces = faces(3);
        draw_roles(&mut faces, 1, 1, Seed::new(1)).unwrap();
        std::fs::write(&path, faces_csv(&faces).unwrap()).unwrap();
        assert_eq!(read_faces(&path, &ColumnNames::default()).unwrap(), faces);
    }

    #[test]
    fn wrong_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups.csv");
        for (text, want) in [
            ("image,gender,role\n", "column age_group missing"),
            ("image,gender,age_group\na,male,old\n", "line 2: age_group: \"old\" is none of young, older"),
            ("image,gender,age_group,role\na,male,older,test\n", "line 2: role: \"test\" is none of gallery, query"),
            ("image,gender,age_group\na,male,older\na,male,older\n", "line 3: image \"a\" stands there twice"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = read_faces(&path, &ColumnNames::default()).unwrap_err().to_string();
            assert!(message.contains(want), "{message} lacks {want}");
        }
    }

    #[test]
    fn roles_are_drawn_evenly_repeatably_and_not_beyond_what_there_is() {
        let (mut first, mut again, mut other) = (faces(10), faces(10), faces(10));
        draw_roles(&mut first, 3, 6, Seed::new(1)).unwrap();
        draw_roles(&mut again, 3, 6, Seed::new(1)).unwrap();
        draw_roles(&mut other, 3, 6, Seed::new(2)).unwrap();
        assert_eq!(first, again);
        assert_ne!(first, other);
        let count = |role| first.iter().filter(|face| face.role == role).count();
        assert_eq!((count(Some(Role::Gallery)), count(Some(Role::Query)), count(None)), (12, 24, 4));
        let error = draw_roles(&mut first, 5, 6, Seed::new(1)).unwrap_err().to_string();
        assert_eq!(error, "young-male: 10 faces, but 5 + 6 were asked for");
    }
}
