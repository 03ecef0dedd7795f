//! Apparent gender, apparent age and the groups they make.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// First age, in years, that counts as older where labels come from an age in years: the built-in pool's border.
pub const OLDER_FROM_YEARS: f32 = 35.0;

/// Apparent gender, as the pool's labels and the classifiers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gender {
    /// Looks male.
    Male,
    /// Looks female.
    Female,
}

/// Apparent age, in two groups of adults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgeGroup {
    /// A younger adult.
    Young,
    /// An older adult; from which age depends on the data, which says so.
    Older,
}

/// Who said which gender and age group a pool face has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelSource {
    /// The person who made the list.
    Csv,
    /// The gender and age networks.
    Model,
    /// The contributors of a composite, who all have this label.
    Composite,
}

/// A set of faces that share apparent gender, apparent age, or both; the order breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Male of any age.
    Male,
    /// Female of any age.
    Female,
    /// Young of any gender.
    Young,
    /// Older of any gender.
    Older,
    /// Young and male.
    YoungMale,
    /// Young and female.
    YoungFemale,
    /// Older and male.
    OlderMale,
    /// Older and female.
    OlderFemale,
}

impl Group {
    /// The two genders.
    pub const GENDERS: [Self; 2] = [Self::Male, Self::Female];
    /// The two age groups.
    pub const AGES: [Self; 2] = [Self::Young, Self::Older];
    /// The four intersections.
    pub const INTERSECTIONS: [Self; 4] = [Self::YoungMale, Self::YoungFemale, Self::OlderMale, Self::OlderFemale];
    /// All eight: genders, age groups, intersections.
    pub const ALL: [Self; 8] = [
        Self::Male,
        Self::Female,
        Self::Young,
        Self::Older,
        Self::YoungMale,
        Self::YoungFemale,
        Self::OlderMale,
        Self::OlderFemale,
    ];

    /// The intersection a face with these labels is in.
    pub fn of(gender: Gender, age_group: AgeGroup) -> Self {
        match (age_group, gender) {
            (AgeGroup::Young, Gender::Male) => Self::YoungMale,
            (AgeGroup::Young, Gender::Female) => Self::YoungFemale,
            (AgeGroup::Older, Gender::Male) => Self::OlderMale,
            (AgeGroup::Older, Gender::Female) => Self::OlderFemale,
        }
    }

    /// The gender all its faces share; `None` for the two age groups.
    pub fn gender(self) -> Option<Gender> {
        match self {
            Self::Male | Self::YoungMale | Self::OlderMale => Some(Gender::Male),
            Self::Female | Self::YoungFemale | Self::OlderFemale => Some(Gender::Female),
            Self::Young | Self::Older => None,
        }
    }

    /// The age group all its faces share; `None` for the two genders.
    pub fn age_group(self) -> Option<AgeGroup> {
        match self {
            Self::Young | Self::YoungMale | Self::YoungFemale => Some(AgeGroup::Young),
            Self::Older | Self::OlderMale | Self::OlderFemale => Some(AgeGroup::Older),
            Self::Male | Self::Female => None,
        }
    }

    /// Whether a face with these labels belongs to it.
    pub fn contains(self, gender: Gender, age_group: AgeGroup) -> bool {
        self.gender().is_none_or(|own| own == gender) && self.age_group().is_none_or(|own| own == age_group)
    }

    /// Its name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Male => "male",
            Self::Female => "female",
            Self::Young => "young",
            Self::Older => "older",
            Self::YoungMale => "young-male",
            Self::YoungFemale => "young-female",
            Self::OlderMale => "older-male",
            Self::OlderFemale => "older-female",
        }
    }
}

impl Gender {
    /// Its name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Male => "male",
            Self::Female => "female",
        }
    }
}

impl AgeGroup {
    /// Its name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Young => "young",
            Self::Older => "older",
        }
    }
}

impl LabelSource {
    /// Its name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Model => "model",
            Self::Composite => "composite",
        }
    }
}

/// `Display` and `FromStr` of a type by the names of its values.
macro_rules! named {
    ($type:ty, [$($value:path),+]) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let values = [$($value),+];
                values.into_iter().find(|value| value.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
                    let names: Vec<&str> = values.iter().map(|value| value.as_str()).collect();
                    format!("{text:?} is none of {}", names.join(", "))
                })
            }
        }
    };
}

named!(Gender, [Gender::Male, Gender::Female]);
named!(AgeGroup, [AgeGroup::Young, AgeGroup::Older]);
named!(LabelSource, [LabelSource::Csv, LabelSource::Model, LabelSource::Composite]);
named!(
    Group,
    [
        Group::Male,
        Group::Female,
        Group::Young,
        Group::Older,
        Group::YoungMale,
        Group::YoungFemale,
        Group::OlderMale,
        Group::OlderFemale
    ]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_face_is_in_one_gender_one_age_group_and_one_intersection() {
        for gender in [Gender::Male, Gender::Female] {
            for age in [AgeGroup::Young, AgeGroup::Older] {
                let in_groups = |groups: &[Group]| groups.iter().filter(|group| group.contains(gender, age)).count();
                assert_eq!(in_groups(&Group::GENDERS), 1);
                assert_eq!(in_groups(&Group::AGES), 1);
                assert_eq!(in_groups(&Group::INTERSECTIONS), 1);
                assert!(Group::of(gender, age).contains(gender, age));
            }
        }
    }

    #[test]
    fn names_are_read_back_and_are_those_of_json() {
        for group in Group::ALL {
            assert_eq!(group.to_string().parse(), Ok(group));
            assert_eq!(serde_json::to_string(&group).unwrap(), format!("\"{group}\""));
        }
        assert_eq!("Male".parse(), Ok(Gender::Male));
        assert_eq!("man".parse::<Gender>(), Err("\"man\" is none of male, female".to_owned()));
    }
}
