//! `groups.csv`: labelled faces, some to compare with (gallery) and some to tell the group of (query).

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::study::{Override, celeba};
use perface::draw::{Seed, shuffle};
use perface::error::{Error, Result};
use perface::pool::{AgeGroup, Gender, Group};
use perface::table::{ColumnNames, Table};

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

/// The faces of CelebAMask-HQ in `folder`, from its own lists; see [`celeba::read`].
///
/// # Errors
/// As there.
pub fn of_celeba(folder: &Path, overrides: &[Override]) -> Result<Vec<LabelledFace>> {
    let faces = celeba::read(folder, overrides)?.into_iter();
    let labelled = faces.filter_map(|face| {
        Some(LabelledFace { age_group: face.age_group?, image: face.image, gender: face.gender, role: None })
    });
    Ok(labelled.collect())
}

/// The faces of each intersection, by their place in `faces`, in the order in which a draw takes them.
pub fn draw_order(faces: &[LabelledFace], seed: Seed) -> Vec<(Group, Vec<usize>)> {
    let orders = Group::INTERSECTIONS.iter().map(|&group| {
        let inside = faces.iter().enumerate().filter(|(_, face)| group.contains(face.gender, face.age_group));
        let mut order: Vec<usize> = inside.map(|(place, _)| place).collect();
        shuffle(&mut seed.keyed("group-roles", &[group.as_str().as_bytes()]), &mut order);
        (group, order)
    });
    orders.collect()
}

/// Draw a gallery and queries of equal numbers from each intersection, without overlap, in the `order` of [`draw_order`]
/// and passing over faces that are not `usable`; faces not drawn get no role.
///
/// # Errors
/// [`Error::Usage`] naming an intersection with too few usable faces.
pub fn take_roles(
    faces: &mut [LabelledFace],
    order: &[(Group, Vec<usize>)],
    gallery: usize,
    queries: usize,
    usable: impl Fn(&LabelledFace) -> bool,
) -> Result<()> {
    faces.iter_mut().for_each(|face| face.role = None);
    for (group, order) in order {
        let inside: Vec<usize> = order.iter().copied().filter(|&place| faces.get(place).is_some_and(&usable)).collect();
        let found = inside.len();
        if found < gallery.saturating_add(queries) {
            return Err(Error::Usage(format!("{group}: {found} faces, but {gallery} + {queries} were asked for")));
        }
        for (drawn, place) in inside.into_iter().take(gallery + queries).enumerate() {
            if let Some(face) = faces.get_mut(place) {
                face.role = Some(if drawn < gallery { Role::Gallery } else { Role::Query });
            }
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

    fn draw_roles(faces: &mut [LabelledFace], gallery: usize, queries: usize, seed: Seed) -> Result<()> {
        let order = draw_order(faces, seed);
        take_roles(faces, &order, gallery, queries, |_| true)
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

    #[test]
    fn a_draw_passes_over_faces_that_cannot_be_used_and_keeps_the_others_in_order() {
        let (mut all, mut some) = (faces(10), faces(10));
        let order = draw_order(&all, Seed::new(1));
        take_roles(&mut all, &order, 3, 6, |_| true).unwrap();
        let lost = all.iter().find(|face| face.role == Some(Role::Gallery)).unwrap().image.clone();
        take_roles(&mut some, &order, 3, 6, |face| face.image != lost).unwrap();
        let count = |faces: &[LabelledFace], role| faces.iter().filter(|face| face.role == role).count();
        assert_eq!(count(&some, Some(Role::Gallery)), 12);
        assert_eq!(count(&some, Some(Role::Query)), 24);
        let changed: Vec<_> = all.iter().zip(&some).filter(|(a, b)| a.role != b.role).collect();
        // The lost one, the first query, who moves up, and one who was not drawn before.
        assert_eq!(changed.len(), 3, "{changed:?}");
        assert!(take_roles(&mut some, &order, 3, 6, |face| face.image == lost).is_err());
    }

    #[test]
    fn celebamask_hq_gives_its_own_lists() {
        let folder = tempfile::tempdir().unwrap();
        let list =
            "3\nEyeglasses Male Wearing_Hat Young\n0.jpg  -1  1 -1 -1\n1.jpg   1 -1 -1  1\n235.jpg -1 -1 -1  1\n";
        std::fs::write(folder.path().join(celeba::ATTRIBUTES), list).unwrap();
        let labels = |overrides: &[Override]| -> Vec<_> {
            let faces = of_celeba(folder.path(), overrides).unwrap();
            faces.into_iter().map(|f| (f.image, f.gender, f.age_group)).collect()
        };
        let (first, second) = ("CelebA-HQ-img/0.jpg".to_owned(), "CelebA-HQ-img/1.jpg".to_owned());
        let want = [(first, Gender::Male, AgeGroup::Older), (second.clone(), Gender::Female, AgeGroup::Young)];
        assert_eq!(labels(&[]), want, "a known duplicate is left out");
        let corrected = Override { image: "1".to_owned(), attribute: "Male".to_owned(), value: "1".to_owned() };
        assert_eq!(labels(&[corrected])[1], (second, Gender::Male, AgeGroup::Young));
    }
}
