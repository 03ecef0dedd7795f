//! `perface pool measure`: is similarity good enough to choose groups with this pool?

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::group::{GroupDistance, MIN_GENDER_ACCURACY};
use perface_evidence::eval::pool_accuracy::held_out;

use crate::args::Common;
use crate::commands::eval::LabelledFaces;
use crate::commands::eval::groups::DrawArgs;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `pool measure`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface pool measure my-pool/ --on groups.csv --images photos/")]
pub struct Measure {
    /// Folder of the pool; the result is noted in its pool.json.
    folder: PathBuf,
    /// List of labelled faces outside the pool, with the columns image, gender and age_group.
    #[arg(long, value_name = "GROUPS.CSV")]
    on: PathBuf,
    #[command(flatten)]
    faces: LabelledFaces,
    /// Embedder to measure with.
    #[arg(long, default_value = DEFAULT_MODEL)]
    model: String,
    /// What the distance to a group is.
    #[arg(long, default_value_t = GroupDistance::default(), value_name = "NAME")]
    group_distance: GroupDistance,
}

impl Measure {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let reader = session.reader(&self.model)?;
        let card = reader.embedder.card().clone();
        let (faces, skipped) = self.faces.read(&self.on, &self.model, &DrawArgs::default(), &session, common)?;
        let candidates = session.candidates(Some(&self.folder), reader)?;
        let queries = LabelledFaces::gallery(&faces)?;
        let on = format!("{}, {} faces", self.on.file_name().unwrap_or_default().to_string_lossy(), faces.len());
        let accuracy = held_out(candidates.gallery(), &queries, self.group_distance, &on)?;
        let mut pool = candidates.pool().clone();
        pool.record_accuracy(&card.sha256, accuracy.clone())?;
        output::print(common.json, &accuracy, |a| {
            let line = |what: &str, p: &perface::summary::Proportion| {
                format!("{what:<8} {:.3} ({:.3}–{:.3})\n", p.value, p.low, p.high)
            };
            let verdict =
                if a.gender.value >= MIN_GENDER_ACCURACY { "similarity" } else { "the gender and age networks" };
            format!(
                "{} on {}:\n{}{}{}--group-by auto uses {verdict}",
                a.definition,
                a.measured_on,
                line("gender", &a.gender),
                line("age", &a.age),
                line("four-way", &a.four_way)
            )
        })?;
        Ok(if skipped > 0 { Outcome::SomeUnreadable } else { Outcome::Done })
    }
}
