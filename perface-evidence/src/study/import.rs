//! Answers of another study, whose tables have other names and another shape.
//!
//! A list of samples with counts or single votes is read by [`perface::triplets::read`]. This reads the other usual shape:
//! one row per answer, with the three pictures in it.

use std::collections::HashMap;
use std::path::Path;

use super::Side;
use perface::error::{Error, Result};
use perface::table::{ColumnNames, Table};
use perface::triplets::{Kind, Triplet};

/// Read a list with the columns `reference, a, b, choice` and one row per answer; `sample_id`, `target_id` and
/// `triplet_id` where it has them. `choice` is a, b, one of the two pictures, or what `words` says for them.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] with the line for a missing column or an unknown choice.
pub fn read_answers(path: &Path, names: &ColumnNames, words: &ChoiceWords) -> Result<Vec<Triplet>> {
    let table = Table::read(path, names, &["reference", "a", "b", "choice"])?;
    let mut order: Vec<Triplet> = Vec::new();
    let mut places: HashMap<[String; 3], usize> = HashMap::new();
    for row in table.rows() {
        let pictures: [String; 3] = [row.parse("reference")?, row.parse("a")?, row.parse("b")?];
        let [reference, a, b] = &pictures;
        if reference == a || reference == b || a == b {
            return Err(row.error("reference, a and b must be three pictures"));
        }
        let text = row.get("choice");
        let choice = match words.side(text) {
            Some(side) => side,
            None if text == a => Side::A,
            None if text == b => Side::B,
            None => return Err(row.error(format!("choice {text:?} is none of a, b; --choices a=…,b=… names others"))),
        };
        let or = |name: &str, other: String| if row.get(name).is_empty() { other } else { row.get(name).to_owned() };
        let place = *places.entry(pictures.clone()).or_insert_with(|| {
            order.push(Triplet {
                sample_id: or("sample_id", format!("{}", order.len() + 1)),
                target_id: or("target_id", reference.clone()),
                triplet_id: or("triplet_id", format!("{}|{}", a.min(b), a.max(b))),
                reference: reference.clone(),
                a: a.clone(),
                b: b.clone(),
                votes_a: 0,
                votes_b: 0,
                kind: Kind::Real,
                split: None,
            });
            order.len() - 1
        });
        if let Some(triplet) = order.get_mut(place) {
            *(if choice == Side::A { &mut triplet.votes_a } else { &mut triplet.votes_b }) += 1;
        }
    }
    if order.is_empty() {
        return Err(Error::Malformed { path: path.to_owned(), reason: "has no answers".to_owned() });
    }
    Ok(order)
}

/// What stands for a and for b in a foreign list: `a=left,b=right`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChoiceWords(Vec<(Side, String)>);

impl ChoiceWords {
    fn side(&self, text: &str) -> Option<Side> {
        match self.0.iter().find(|(_, word)| word == text) {
            Some((side, _)) => Some(*side),
            None if self.0.is_empty() => text.parse().ok(),
            None => None,
        }
    }
}

impl std::str::FromStr for ChoiceWords {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
            let (side, word) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not of the form a=word"))?;
            Ok((side.trim().parse()?, word.trim().to_owned()))
        });
        words.collect::<Result<_, String>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, names: &str, words: &str) -> Result<Vec<Triplet>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.csv");
        std::fs::write(&path, text).unwrap();
        read_answers(&path, &names.parse().unwrap(), &words.parse().unwrap())
    }

    #[test]
    fn answers_in_any_words_are_counted_by_question() {
        let text = "q,anchor,left,right,answer,who\n1,c,x,y,L,p1\n1,c,x,y,R,p2\n1,c,x,y,L,p3\n2,c,x,z,R,p1\n";
        let names = "sample_id=q,reference=anchor,a=left,b=right,choice=answer";
        let triplets = read(text, names, "a=L,b=R").unwrap();
        assert_eq!(triplets.iter().map(|t| (t.votes_a, t.votes_b)).collect::<Vec<_>>(), [(2, 1), (0, 1)]);
        assert_eq!((triplets[1].sample_id.as_str(), triplets[0].triplet_id.as_str()), ("2", "x|y"));
        // The chosen picture itself is an answer too.
        assert_eq!(read("reference,a,b,choice\nc,x,y,y\n", "", "").unwrap()[0].votes_b, 1);
        let message = read(text, names, "").unwrap_err().to_string();
        assert!(message.contains("line 2: choice \"L\"") && message.contains("--choices"), "{message}");
    }
}
