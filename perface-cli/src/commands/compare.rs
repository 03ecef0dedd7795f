//! `perface compare`: how alike two faces are, or which of two is closer to a third.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, OnePerson, Session};

/// Options of `compare`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface compare a.jpg b.jpg\n  perface compare c.jpg a.jpg b.jpg    which is closer to c: a or b?"
)]
pub struct Compare {
    /// Two photos A B, or three C A B. The main face of each is taken.
    #[arg(required = true, num_args = 2..=3)]
    photos: Vec<PathBuf>,
    /// Embedder to compare with.
    #[arg(long, default_value = DEFAULT_MODEL)]
    model: String,
}

#[derive(Serialize)]
struct Pair {
    similarity: String,
    a: PathBuf,
    b: PathBuf,
    cosine: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_person_cosine: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_person: Option<bool>,
}

#[derive(Serialize)]
struct Triplet {
    similarity: String,
    reference: PathBuf,
    a: PathBuf,
    b: PathBuf,
    cosine_a: f32,
    cosine_b: f32,
    /// `a`, `b`, or `tie`.
    closer: &'static str,
    /// Share of people expected to call a closer, where the model was calibrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_share_a: Option<f64>,
    /// Whose answers that rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    calibrated_on: Option<String>,
}

impl Compare {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let reader = session.reader(&self.model)?;
        let card = reader.embedder.card();
        let people = self.photos.iter().map(|path| OnePerson::read(path, &reader)).collect::<Result<Vec<_>>>()?;
        match (people.as_slice(), self.photos.as_slice()) {
            ([a, b], [path_a, path_b]) => {
                let cosine = a.embedding.cosine(&b.embedding);
                let threshold = card.same_person.as_ref().map(|t| t.cosine);
                let pair = Pair {
                    similarity: card.similarity.clone(),
                    a: path_a.clone(),
                    b: path_b.clone(),
                    cosine,
                    same_person_cosine: threshold,
                    same_person: threshold.map(|t| cosine >= t),
                };
                output::print(common.json, &pair, pair_text)?;
            }
            ([c, a, b], [path_c, path_a, path_b]) => {
                let (cosine_a, cosine_b) = (c.embedding.cosine(&a.embedding), c.embedding.cosine(&b.embedding));
                let closer = match cosine_a.total_cmp(&cosine_b) {
                    std::cmp::Ordering::Greater => "a",
                    std::cmp::Ordering::Less => "b",
                    std::cmp::Ordering::Equal => "tie",
                };
                let triplet = Triplet {
                    similarity: card.similarity.clone(),
                    reference: path_c.clone(),
                    a: path_a.clone(),
                    b: path_b.clone(),
                    cosine_a,
                    cosine_b,
                    closer,
                    expected_share_a: card.agreement.as_ref().map(|scale| scale.share_for_a(cosine_a, cosine_b)),
                    calibrated_on: card.agreement.as_ref().map(|scale| scale.source.clone()),
                };
                output::print(common.json, &triplet, triplet_text)?;
            }
            _ => return Err(perface::Error::Usage("name two photos, or three".to_owned()).into()),
        }
        Ok(Outcome::Done)
    }
}

fn pair_text(pair: &Pair) -> String {
    let verdict = match (pair.same_person, pair.same_person_cosine) {
        (Some(true), Some(t)) => format!("taken for the same person (threshold {t:.3})"),
        (Some(false), Some(t)) => format!("taken for different people (threshold {t:.3})"),
        _ => "no threshold is known for this model".to_owned(),
    };
    format!("{}: {:.3}\n{verdict}", pair.similarity, pair.cosine)
}

fn triplet_text(triplet: &Triplet) -> String {
    let closer = match triplet.closer {
        "a" => format!("{} is closer", triplet.a.display()),
        "b" => format!("{} is closer", triplet.b.display()),
        _ => "both are equally close".to_owned(),
    };
    let people = match (triplet.expected_share_a, &triplet.calibrated_on) {
        (Some(share), Some(source)) => {
            let share = if triplet.closer == "b" { 1.0 - share } else { share };
            format!("\n{:.0} % of people are expected to say so ({source})", 100.0 * share)
        }
        _ => String::new(),
    };
    let Triplet { similarity, reference, cosine_a, cosine_b, a, b, .. } = triplet;
    format!(
        "{similarity} to {}:\n  {:.3}  {}\n  {:.3}  {}\n{closer}{people}",
        reference.display(),
        cosine_a,
        a.display(),
        cosine_b,
        b.display()
    )
}
