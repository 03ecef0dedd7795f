//! `triplets.csv`: which of two faces people found more like a third.
//!
//! One line is one question: a and b were judged against `reference` (the paper's A, B and C), and `votes_a`,
//! `votes_b` count the answers. The three questions of a study cell share a target (the face that was swapped) and a
//! source triplet (the three people it was swapped with).

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::table::{ColumnNames, Row, Table, csv_text};

/// Where the answers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// People looked at the three faces and chose.
    #[default]
    Real,
    /// A catch question whose answer is certain.
    Dummy,
    /// Nobody was asked this: the answers were computed from other ratings of the faces.
    Derived,
}

/// Which part of an experiment a triplet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    Train,
    /// To stop by.
    Val,
    /// Test: neither the target nor the sources were seen in training.
    I,
    /// Test: the sources were seen, the target was not.
    Ii,
    /// Test: the target was seen, the sources were not.
    Iii,
}

/// One of the two faces that were compared with the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Face a.
    A,
    /// Face b.
    B,
}

impl Side {
    /// The other face.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// Give an enum of plain names its text form, both ways.
macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),+ }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $name),+ })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is none of {}", [$($name),+].join(", "))),
                }
            }
        }
    };
}

names!(Kind { Real = "real", Dummy = "dummy", Derived = "derived" });
names!(Split { Train = "train", Val = "val", I = "i", Ii = "ii", Iii = "iii" });
names!(Side { A = "a", B = "b" });

/// One question and its answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Triplet {
    /// Name of the question, unique in its list; the line's number where the list has none.
    pub sample_id: String,
    /// The face that was swapped; where the list does not say, the picture of the reference.
    pub target_id: String,
    /// The three source people; where the list does not say, the pair of pictures a and b in the order of their names.
    pub triplet_id: String,
    /// Picture the others were compared with.
    pub reference: String,
    /// Picture of face a.
    pub a: String,
    /// Picture of face b.
    pub b: String,
    /// How many people found a closer.
    pub votes_a: usize,
    /// How many people found b closer.
    pub votes_b: usize,
    /// Where the answers come from; real where the list does not say.
    pub kind: Kind,
    /// Part of the experiment, if the list says.
    pub split: Option<Split>,
}

impl Triplet {
    /// How many people answered.
    pub fn votes(&self) -> usize {
        self.votes_a + self.votes_b
    }

    /// The face most people found closer; `None` if as many chose either, or nobody answered.
    pub fn majority(&self) -> Option<Side> {
        match self.votes_a.cmp(&self.votes_b) {
            std::cmp::Ordering::Greater => Some(Side::A),
            std::cmp::Ordering::Less => Some(Side::B),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// Whether at least two people answered and all alike.
    pub fn unanimous(&self) -> bool {
        self.votes() > 1 && (self.votes_a == 0 || self.votes_b == 0)
    }

    /// The three pictures: reference, a, b.
    pub fn pictures(&self) -> [&str; 3] {
        [&self.reference, &self.a, &self.b]
    }
}

/// Read a list with the columns `reference, a, b, votes_a, votes_b`, or single votes as `vote1, vote2, …` of `a` or `b`
/// in place of the counts; `sample_id, target_id, triplet_id, kind, split` where it has them.
///
/// # Errors
/// [`crate::Error::Io`]; [`crate::Error::Malformed`] with the line for a missing column, an unknown kind, split or vote, a sample that
/// stands there twice, or a question that has one picture in two places.
pub fn read(path: &Path, names: &ColumnNames) -> Result<Vec<Triplet>> {
    let table = Table::read(path, names, &["reference", "a", "b"])?;
    let single: Vec<String> = table.header().iter().filter(|name| is_single_vote(name)).cloned().collect();
    if single.is_empty() {
        table.require(&["votes_a", "votes_b"])?;
    }
    let mut seen = std::collections::HashSet::new();
    table
        .rows()
        .map(|row| {
            let triplet = triplet(&row, &single)?;
            if !seen.insert(triplet.sample_id.clone()) {
                return Err(row.error(format!("sample_id {:?} stands there twice", triplet.sample_id)));
            }
            Ok(triplet)
        })
        .collect()
}

fn is_single_vote(name: &str) -> bool {
    name.strip_prefix("vote").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn triplet(row: &Row<'_>, single: &[String]) -> Result<Triplet> {
    let [reference, a, b]: [String; 3] = [row.parse("reference")?, row.parse("a")?, row.parse("b")?];
    if reference == a || reference == b || a == b {
        return Err(row.error("reference, a and b must be three pictures"));
    }
    let (votes_a, votes_b) = if single.is_empty() {
        (row.parse("votes_a")?, row.parse("votes_b")?)
    } else {
        let votes = single.iter().map(|name| row.parse_optional::<Side>(name)).collect::<Result<Vec<_>>>()?;
        let count = |side| votes.iter().filter(|vote| **vote == Some(side)).count();
        (count(Side::A), count(Side::B))
    };
    let or = |name: &str, other: &dyn Fn() -> String| match row.get(name) {
        "" => other(),
        text => text.to_owned(),
    };
    Ok(Triplet {
        sample_id: or("sample_id", &|| row.line().to_string()),
        target_id: or("target_id", &|| reference.clone()),
        triplet_id: or("triplet_id", &|| {
            let (first, second) = if a <= b { (&a, &b) } else { (&b, &a) };
            format!("{first}|{second}")
        }),
        kind: row.parse_optional("kind")?.unwrap_or_default(),
        split: row.parse_optional("split")?,
        reference,
        a,
        b,
        votes_a,
        votes_b,
    })
}

/// Columns of the list as it is written.
const COLUMNS: [&str; 10] =
    ["sample_id", "target_id", "triplet_id", "reference", "a", "b", "votes_a", "votes_b", "kind", "split"];

/// The list as text.
///
/// # Errors
/// [`crate::Error::Usage`] if a row cannot be written as CSV.
pub fn csv(triplets: &[Triplet]) -> Result<Vec<u8>> {
    let rows = triplets.iter().map(|t| {
        let split = t.split.map_or(String::new(), |split| split.to_string());
        let names = [&t.sample_id, &t.target_id, &t.triplet_id, &t.reference, &t.a, &t.b].map(String::clone);
        names.into_iter().chain([t.votes_a.to_string(), t.votes_b.to_string(), t.kind.to_string(), split]).collect()
    });
    csv_text(&COLUMNS.map(str::to_owned), rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, names: &str) -> Result<Vec<Triplet>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("triplets.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, &names.parse().unwrap())
    }

    #[test]
    fn a_list_is_read_back_as_it_was_written() {
        let text = "sample_id,target_id,triplet_id,reference,a,b,votes_a,votes_b,kind,split\n\
                    s1,t1,x1,c.png,a.png,b.png,3,0,real,ii\ns2,t1,x2,c.png,d.png,e.png,1,2,dummy,\n";
        let triplets = read_text(text, "").unwrap();
        assert_eq!(String::from_utf8(csv(&triplets).unwrap()).unwrap(), text);
        assert_eq!((triplets[0].majority(), triplets[0].unanimous()), (Some(Side::A), true));
        assert_eq!((triplets[1].majority(), triplets[1].unanimous()), (Some(Side::B), false));
        assert_eq!((triplets[0].split, triplets[1].kind), (Some(Split::Ii), Kind::Dummy));
    }

    #[test]
    fn foreign_columns_and_single_votes_are_read() {
        let text = "reference_C,A,B,vote1,vote2,vote3,margin\nc,z,b,B,B,A,1.5\nc,b,z,A,,A,0.1\n";
        let triplets = read_text(text, "reference=reference_C,a=A,b=B").unwrap();
        assert_eq!((triplets[0].votes_a, triplets[0].votes_b), (1, 2));
        assert_eq!((triplets[1].votes_a, triplets[1].votes_b, triplets[1].unanimous()), (2, 0, true));
        assert_eq!((triplets[0].sample_id.as_str(), triplets[0].target_id.as_str()), ("2", "c"));
        assert_eq!(triplets[0].triplet_id, triplets[1].triplet_id, "the pair, in either order");
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, want) in [
            ("reference,a,b\nc,a,b\n", "columns votes_a, votes_b missing"),
            ("reference,a,votes_a,votes_b\n", "column b missing"),
            ("reference,a,b,votes_a,votes_b\nc,a,a,3,0\n", "line 2: reference, a and b must be three pictures"),
            (
                "reference,a,b,votes_a,votes_b,kind\nc,a,b,3,0,real\nc,a,d,3,0,true\n",
                "line 3: kind: \"true\" is none of",
            ),
            ("reference,a,b,votes_a,votes_b\nc,a,b,x,0\n", "line 2: votes_a"),
            ("sample_id,reference,a,b,vote1\ns,c,a,b,a\ns,c,a,d,a\n", "line 3: sample_id \"s\" stands there twice"),
            ("reference,a,b,vote1\nc,a,b,c\n", "line 2: vote1: \"c\" is none of a, b"),
        ] {
            let message = read_text(text, "").unwrap_err().to_string();
            assert!(message.contains(want), "{message} lacks {want}");
        }
    }

    #[test]
    fn one_answer_is_not_unanimous_and_a_draw_has_no_majority() {
        let with = |votes_a, votes_b| {
            read_text(&format!("reference,a,b,votes_a,votes_b\nc,a,b,{votes_a},{votes_b}\n"), "").unwrap().remove(0)
        };
        assert!(!with(1, 0).unanimous());
        assert_eq!((with(1, 1).majority(), with(0, 0).majority()), (None, None));
    }
}
