//! CelebAMask-HQ's lists of attributes, poses and original names.
//!
//! The three text files are split at any run of blanks, as their columns are padded unevenly. Attributes go by name.
//! `orig_file` is one more than `orig_idx`. Where `identity_CelebA.txt` lies beside them (the set's authors give it on
//! request), faces of one person are told apart from strangers.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::Override;
use super::face_list::FaceEntry;
use perface::error::{Error, Result};
use perface::file::read_limited;
use perface::pool::{AgeGroup, Gender};
use perface::table::{ColumnNames, Table};

/// The list of attributes.
pub const ATTRIBUTES: &str = "CelebAMask-HQ-attribute-anno.txt";
/// The list of poses.
pub const POSES: &str = "CelebAMask-HQ-pose-anno.txt";
/// The list of original names.
pub const MAPPING: &str = "CelebA-HQ-to-CelebA-mapping.txt";
/// CelebA's list of people, which not everybody has.
pub const IDENTITIES: &str = "identity_CelebA.txt";
/// The folder of pictures.
pub const PICTURES: &str = "CelebA-HQ-img";

/// Largest list that is read, in bytes; the attributes of 30 000 pictures take about 4 MB.
const MAX_BYTES: u64 = 64 << 20;

/// Pictures that show the same photo twice, from the set's issue 84; the second of each pair is left out.
pub const DUPLICATES: [(u32, u32); 13] = [
    (234, 235),
    (3329, 3330),
    (5162, 5163),
    (6770, 6771),
    (7384, 7385),
    (7561, 7562),
    (12444, 12445),
    (12885, 12886),
    (13825, 13826),
    (15506, 15507),
    (19199, 19200),
    (20134, 20135),
    (24646, 24647),
];

/// A picture that is not aligned like the others, from the same list.
pub const MISALIGNED: u32 = 2110;

/// Read the lists in `folder`, with labels corrected by `overrides`. Known duplicates and misaligned pictures are left
/// out. Poses, the mapping and identities are optional.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] with the line.
pub fn read(folder: &Path, overrides: &[Override]) -> Result<Vec<FaceEntry>> {
    let path = folder.join(ATTRIBUTES);
    let attributes = Text::read(&path)?;
    let (names, rows) = attributes.columns()?;
    let column = |name: &str| {
        let place = names.iter().position(|other| *other == name);
        place.ok_or_else(|| attributes.error(2, format!("attribute {name} missing")))
    };
    let (male, young) = (column("Male")?, column("Young")?);
    let (glasses, hat) = (column("Eyeglasses")?, column("Wearing_Hat")?);
    let mut corrected: HashMap<(&str, &str), bool> = HashMap::new();
    for change in overrides {
        let value = truth(&change.value).ok_or_else(|| {
            Error::Usage(format!("override of {}: {:?} is none of 1, -1", change.image, change.value))
        })?;
        if !names.contains(&change.attribute.as_str()) {
            return Err(Error::Usage(format!("override of {}: no attribute {}", change.image, change.attribute)));
        }
        corrected.insert((index_of(&change.image), change.attribute.as_str()), value);
    }
    let poses = poses(folder)?;
    let people = people(folder)?;
    let twins: HashSet<u32> = DUPLICATES.iter().map(|pair| pair.1).chain([MISALIGNED]).collect();
    let mut seen = HashSet::new();
    let mut faces = Vec::with_capacity(rows.len());
    for (line, cells) in rows {
        let [image, values @ ..] = cells.as_slice() else { continue };
        if values.len() != names.len() {
            let reason = format!("{} values where {} attributes are named", values.len(), names.len());
            return Err(attributes.error(line, reason));
        }
        let index = index_of(image);
        if !seen.insert(index) {
            return Err(attributes.error(line, format!("{image} stands there twice")));
        }
        let number: u32 = index.parse().map_err(|_| attributes.error(line, format!("{image} is not N.jpg")))?;
        let has = |place: usize, name: &str| -> Result<bool> {
            if let Some(value) = corrected.get(&(index, name)) {
                return Ok(*value);
            }
            let value = values.get(place).copied().unwrap_or_default();
            truth(value).ok_or_else(|| attributes.error(line, format!("{name} is {value:?}, not 1 or -1")))
        };
        if twins.contains(&number) {
            continue;
        }
        faces.push(FaceEntry {
            image: format!("{PICTURES}/{image}"),
            gender: if has(male, "Male")? { Gender::Male } else { Gender::Female },
            age_group: Some(if has(young, "Young")? { AgeGroup::Young } else { AgeGroup::Older }),
            covered: has(glasses, "Eyeglasses")? || has(hat, "Wearing_Hat")?,
            yaw_deg: poses.get(index).copied(),
            age_years: None,
            person: people.get(index).cloned(),
        });
    }
    Ok(faces)
}

/// Read a file of corrections with the columns `idx, attr, value`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] with the line.
pub fn read_overrides(path: &Path) -> Result<Vec<Override>> {
    let table = Table::read(path, &ColumnNames::default(), &["idx", "attr", "value"])?;
    let one = |row: perface::table::Row| {
        Ok(Override { image: row.parse("idx")?, attribute: row.parse("attr")?, value: row.parse("value")? })
    };
    table.rows().map(one).collect()
}

/// Yaw by picture number, in degrees; nothing where there is no list.
fn poses(folder: &Path) -> Result<HashMap<String, f32>> {
    let path = folder.join(POSES);
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let text = Text::read(&path)?;
    let (names, rows) = text.columns()?;
    let yaw = names.iter().position(|name| *name == "Yaw").ok_or_else(|| text.error(2, "Yaw missing".to_owned()))?;
    let one = |(line, cells): (usize, Vec<&str>)| {
        let value = cells.get(yaw + 1).copied().unwrap_or_default();
        let degrees: f32 = value.parse().map_err(|_| text.error(line, format!("yaw {value:?} is no number")))?;
        Ok((index_of(cells.first().copied().unwrap_or_default()).to_owned(), degrees))
    };
    rows.into_iter().map(one).collect()
}

/// Person by picture number; nothing unless both lists are there.
fn people(folder: &Path) -> Result<HashMap<String, String>> {
    let (mapping, identities) = (folder.join(MAPPING), folder.join(IDENTITIES));
    if !mapping.exists() || !identities.exists() {
        return Ok(HashMap::new());
    }
    let (mapping, identities) = (Text::read(&mapping)?, Text::read(&identities)?);
    let person_of: HashMap<&str, &str> = identities
        .lines()
        .filter_map(|(_, cells)| match cells.as_slice() {
            [file, person, ..] => Some((*file, *person)),
            _ => None,
        })
        .collect();
    let mut people = HashMap::new();
    for (line, cells) in mapping.lines() {
        let [index, original, file, ..] = cells.as_slice() else {
            return Err(mapping.error(line, "three columns are needed: idx, orig_idx, orig_file".to_owned()));
        };
        // The header, which is not a number.
        let Ok(original) = original.parse::<u32>() else { continue };
        if index_of(file).parse() != Ok(original + 1) {
            return Err(mapping.error(line, format!("{file} is not one more than {original}")));
        }
        if let Some(person) = person_of.get(file) {
            people.insert((*index).to_owned(), (*person).to_owned());
        }
    }
    Ok(people)
}

/// `12.jpg` without its ending and without leading noughts.
fn index_of(image: &str) -> &str {
    let stem = image.split_once('.').map_or(image, |(stem, _)| stem);
    let trimmed = stem.trim_start_matches('0');
    if trimmed.is_empty() && !stem.is_empty() { "0" } else { trimmed }
}

fn truth(value: &str) -> Option<bool> {
    match value.trim_start_matches('+') {
        "1" => Some(true),
        "-1" | "0" => Some(false),
        _ => None,
    }
}

/// A text file and its name.
struct Text<'a> {
    path: &'a Path,
    text: String,
}

/// Names of the columns, and rows of cells with their lines.
type Columns<'a> = (Vec<&'a str>, Vec<(usize, Vec<&'a str>)>);

impl<'a> Text<'a> {
    fn read(path: &'a Path) -> Result<Self> {
        let bytes = read_limited(path, MAX_BYTES)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::Malformed { path: path.to_owned(), reason: "is not UTF-8".to_owned() })?;
        Ok(Self { path, text })
    }

    fn error(&self, line: usize, reason: String) -> Error {
        Error::Malformed { path: self.path.to_owned(), reason: format!("line {line}: {reason}") }
    }

    /// Lines that are not blank, numbered from 1, as cells.
    fn lines(&self) -> impl Iterator<Item = (usize, Vec<&str>)> {
        let text = self.text.trim_start_matches('\u{feff}');
        let cells = text.lines().enumerate().map(|(index, line)| (index + 1, line.split_whitespace().collect()));
        cells.filter(|(_, cells): &(usize, Vec<&str>)| !cells.is_empty())
    }

    /// A count, a line of names, and as many rows as were counted.
    fn columns(&self) -> Result<Columns<'_>> {
        let mut lines = self.lines();
        let counted = lines.next().and_then(|(_, cells)| cells.first()?.parse::<usize>().ok());
        let counted = counted.ok_or_else(|| self.error(1, "the number of pictures is missing".to_owned()))?;
        let (_, names) =
            lines.next().ok_or_else(|| self.error(2, "the names of the columns are missing".to_owned()))?;
        let rows: Vec<_> = lines.collect();
        if rows.len() != counted {
            return Err(self.error(1, format!("{counted} pictures are announced, {} follow", rows.len())));
        }
        Ok((names, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "5_o_Clock_Shadow Eyeglasses Male Wearing_Hat Young";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn padded_columns_and_blank_lines_are_read_by_name() {
        let text = format!("3\n{NAMES} \n0.jpg  -1 -1  1 -1  1\r\n1.jpg   1  1 -1 -1 -1\n2.jpg -1 -1 -1  1  1 \n\n");
        let folder = folder(&[
            (ATTRIBUTES, &text),
            (POSES, "3\nYaw Pitch Raw\n0.jpg 1.5 0 0\n1.jpg  -30.25 2 3\n2.jpg 0 0 0\n"),
        ]);
        let faces = read(folder.path(), &[]).unwrap();
        let told: Vec<_> = faces.iter().map(|f| (f.gender, f.age_group, f.covered, f.yaw_deg)).collect();
        assert_eq!(
            told,
            [
                (Gender::Male, Some(AgeGroup::Young), false, Some(1.5)),
                (Gender::Female, Some(AgeGroup::Older), true, Some(-30.25)),
                (Gender::Female, Some(AgeGroup::Young), true, Some(0.0)),
            ]
        );
        assert_eq!(faces[1].image, "CelebA-HQ-img/1.jpg");
    }

    #[test]
    fn corrections_replace_labels() {
        let text = format!("1\n{NAMES}\n23.jpg -1 -1 1 -1 1\n");
        let folder = folder(&[(ATTRIBUTES, &text), ("o.csv", "idx,attr,value\n23,Male,-1\n")]);
        let overrides = read_overrides(&folder.path().join("o.csv")).unwrap();
        assert_eq!(read(folder.path(), &[]).unwrap()[0].gender, Gender::Male);
        assert_eq!(read(folder.path(), &overrides).unwrap()[0].gender, Gender::Female);
        let unknown = Override { image: "23".to_owned(), attribute: "Mail".to_owned(), value: "1".to_owned() };
        assert!(read(folder.path(), &[unknown]).unwrap_err().to_string().contains("no attribute Mail"));
    }

    #[test]
    fn known_duplicates_are_left_out() {
        let text = format!("3\n{NAMES}\n234.jpg -1 -1 1 -1 1\n235.jpg -1 -1 1 -1 1\n2110.jpg -1 -1 1 -1 1\n");
        let folder = folder(&[(ATTRIBUTES, &text)]);
        let faces = read(folder.path(), &[]).unwrap();
        assert_eq!(faces.iter().map(|f| f.image.as_str()).collect::<Vec<_>>(), ["CelebA-HQ-img/234.jpg"]);
    }

    #[test]
    fn people_come_by_the_original_file() {
        let text = format!("2\n{NAMES}\n0.jpg -1 -1 1 -1 1\n1.jpg -1 -1 1 -1 1\n");
        let mapping = "  idx    orig_idx    orig_file\n    0      119613   119614.jpg\n    1       7 000008.jpg\n";
        let folder = folder(&[(ATTRIBUTES, &text), (MAPPING, mapping), (IDENTITIES, "119614.jpg 55\n000008.jpg 9\n")]);
        let faces = read(folder.path(), &[]).unwrap();
        assert_eq!(faces.iter().map(|f| f.person.as_deref()).collect::<Vec<_>>(), [Some("55"), Some("9")]);
        std::fs::write(folder.path().join(MAPPING), "idx orig_idx orig_file\n0 119613 119613.jpg\n").unwrap();
        assert!(read(folder.path(), &[]).unwrap_err().to_string().contains("line 2: 119613.jpg is not one more"));
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, want) in [
            ("x\n", "line 1: the number of pictures"),
            ("1\n", "line 2: the names"),
            ("2\nMale Young Eyeglasses Wearing_Hat\n0.jpg 1 1 1 1\n", "line 1: 2 pictures are announced, 1 follow"),
            ("1\nMale Young Eyeglasses Wearing_Hat\n0.jpg 1 1 1\n", "line 3: 3 values where 4"),
            ("1\nMale Young Eyeglasses Wearing_Hat\n0.jpg 1 7 1 1\n", "line 3: Young is \"7\""),
            ("1\nMale Young Eyeglasses Wearing_Hat\nx.jpg 1 1 1 1\n", "line 3: x.jpg is not N.jpg"),
            ("1\nMale Young Eyeglasses\n0.jpg 1 1 1\n", "line 2: attribute Wearing_Hat missing"),
        ] {
            let folder = folder(&[(ATTRIBUTES, text)]);
            let message = read(folder.path(), &[]).unwrap_err().to_string();
            assert!(message.contains(want), "{message} lacks {want}");
        }
    }
}
