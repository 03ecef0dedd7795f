//! `perface eval groups`: STEP 1 measured as published.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::draw::Seed;
use perface::eval::group_list::{Role, draw_roles};
use perface::eval::groups::{compare_definitions, comparison_text, evaluate};
use perface::group::GroupDistance;

use super::LabelledFaces;
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `eval groups`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface eval groups groups.csv --draw 100,150 --seed 1 --compare-definitions")]
pub struct Groups {
    /// List with the columns image, gender, age_group and, unless --draw is given, role (gallery or query).
    list: PathBuf,
    #[command(flatten)]
    faces: LabelledFaces,
    /// Embedder to measure.
    #[arg(long, default_value = DEFAULT_MODEL)]
    model: String,
    /// What the distance to a group is.
    #[arg(long, default_value_t = GroupDistance::default(), value_name = "NAME")]
    group_distance: GroupDistance,
    /// Print every definition of the distance side by side.
    #[arg(long)]
    compare_definitions: bool,
    /// Draw gallery and queries from each intersection at random, so many of each, instead of by the role column.
    #[arg(long, value_name = "GALLERY,QUERIES", value_delimiter = ',', num_args = 2)]
    draw: Option<Vec<usize>>,
    /// Seed of the draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Groups {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let reader = session.reader(&self.model)?;
        let (mut faces, skipped) = self.faces.read(&self.list, &reader, common)?;
        if let Some([gallery, queries]) = self.draw.as_deref() {
            let mut listed: Vec<_> = faces.iter().map(|(face, _)| face.clone()).collect();
            draw_roles(&mut listed, *gallery, *queries, Seed::new(self.seed.into()))?;
            for ((face, _), drawn) in faces.iter_mut().zip(listed) {
                face.role = drawn.role;
            }
        }
        let with = |role: Role| LabelledFaces::gallery(faces.iter().filter(move |(face, _)| face.role == Some(role)));
        let (gallery, queries) = (with(Role::Gallery)?, with(Role::Query)?);
        if self.compare_definitions {
            let all = compare_definitions(&gallery, &queries, &GroupDistance::EACH)?;
            output::print(common.json, &all, |all| comparison_text(all))?;
        } else {
            let evaluation = evaluate(&gallery, &queries, self.group_distance)?;
            output::print(common.json, &evaluation, |evaluation| evaluation.to_text())?;
        }
        Ok(if skipped > 0 { Outcome::SomeUnreadable } else { Outcome::Done })
    }
}
