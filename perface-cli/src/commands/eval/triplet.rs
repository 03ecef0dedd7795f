//! `perface eval triplet`: agreement with people, as in Table 1, Table 2 and Fig. 4.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use perface::draw::Seed;
use perface::triplets::{self, Kind, Split, Triplet};
use perface_evidence::eval::triplet::{Agreement, ModelCosines, TripletEvaluation, TripletOptions, evaluate};
use perface_evidence::pages::{read_examples, triplet_page};

use super::pictures::{Embedded, ListArgs};
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Worked examples that are shown where none are named.
pub const EXAMPLES: usize = 6;

/// Options of `eval triplet`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface eval triplet triplets.csv --images pictures/ --model sface --model my-model --out \
                  out/\n  perface eval triplet derived.csv --columns reference=reference_C,a=A,b=B --derived"
)]
pub struct TripletArgs {
    /// List with the columns reference, a, b, votes_a, votes_b (or vote1, vote2, …); see docs/data.md.
    list: PathBuf,
    #[command(flatten)]
    pictures: ListArgs,
    /// Embedder to measure; give it again to compare several on the same triplets.
    #[arg(long = "model", default_value = DEFAULT_MODEL, value_name = "NAME")]
    models: Vec<String>,
    /// Judge all triplets with a majority, not only those on which everybody agreed.
    #[arg(long)]
    majority: bool,
    /// Only this part of the list: train, val, i, ii or iii.
    #[arg(long, value_name = "NAME")]
    split: Option<Split>,
    /// The judgements were computed from other ratings: say so on everything, whatever the list says.
    #[arg(long)]
    derived: bool,
    /// List with the column sample_id: triplets to show as worked examples.
    #[arg(long, value_name = "FILE")]
    examples: Option<PathBuf>,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write report.html, result.json, triplets.csv and every plot as SVG and PNG to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl TripletArgs {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let mut triplets = triplets::read(&self.list, &self.pictures.columns)?;
        if self.derived {
            mark_derived(&mut triplets);
        }
        let folder = self.pictures.folder(&self.list);
        let agreement = if self.majority { Agreement::Majority } else { Agreement::Unanimous };
        let seed = Seed::new(self.seed.into());
        let options = TripletOptions { agreement, split: self.split, seed, ..Default::default() };
        let result = judge(&triplets, &self.models, &folder, &options, &session, common)?;
        if let Some(out) = &self.out {
            let wanted = self.examples.as_deref().map(read_examples).transpose()?.unwrap_or_default();
            let page = triplet_page(&result, &result.examples(&wanted, EXAMPLES)?, &folder);
            super::write(&page, out, &result, &[("triplets.csv", result.to_csv()?)], common)?;
        }
        output::print(common.json, &result, TripletEvaluation::to_text)?;
        Ok(if result.skipped.unreadable > 0 { Outcome::SomeUnreadable } else { Outcome::Done })
    }
}

/// Judgements that the list calls real were computed from other ratings.
pub fn mark_derived(triplets: &mut [Triplet]) {
    triplets.iter_mut().filter(|t| t.kind == Kind::Real).for_each(|t| t.kind = Kind::Derived);
}

/// Judge the models called `models` by `triplets` with pictures in `folder`.
pub fn judge(
    triplets: &[Triplet],
    models: &[String],
    folder: &Path,
    options: &TripletOptions,
    session: &Session,
    common: &Common,
) -> Result<TripletEvaluation> {
    let mut cosines = Vec::with_capacity(models.len());
    for name in models {
        let pictures = triplets.iter().flat_map(Triplet::pictures);
        let embedded = Embedded::read(pictures, folder, name, session, common)?;
        embedded.report_failures();
        let both = |t: &Triplet| Some([embedded.cosine(&t.reference, &t.a)?, embedded.cosine(&t.reference, &t.b)?]);
        cosines.push(ModelCosines {
            name: name.clone(),
            similarity: embedded.card.similarity.clone(),
            sha256: embedded.card.sha256.clone(),
            cosines: triplets.iter().map(both).collect(),
        });
    }
    Ok(evaluate(triplets, &cosines, options)?)
}
