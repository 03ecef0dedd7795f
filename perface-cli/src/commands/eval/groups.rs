//! `perface eval groups`: STEP 1 measured as published, as in Table 4 and Fig. 6.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::draw::Seed;
use perface::embedding::Embedding;
use perface::eval::group_list::{LabelledFace, Role, draw_roles, faces_csv};
use perface::eval::groups::{GroupEvaluation, classes_csv, compare_definitions, comparison_text, evaluate};
use perface::eval::spread::{Spread, spread};
use perface::group::{Gallery, GroupDistance};
use perface::report::evaluations::{ModelGroups, groups_page};
use serde::Serialize;

use super::LabelledFaces;
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `eval groups`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  perface eval groups groups.csv --draw 100,150 --seed 1 --compare-definitions --out out/"
)]
pub struct Groups {
    /// List with the columns image, gender, age_group and, unless --draw is given, role (gallery or query).
    pub list: PathBuf,
    #[command(flatten)]
    pub faces: LabelledFaces,
    /// Embedder to measure; give it again for another beside it, such as before and after training.
    #[arg(long = "model", default_value = DEFAULT_MODEL, value_name = "NAME")]
    pub models: Vec<String>,
    /// What the distance to a group is.
    #[arg(long, default_value_t = GroupDistance::default(), value_name = "NAME")]
    pub group_distance: GroupDistance,
    /// Print every definition of the distance side by side.
    #[arg(long)]
    pub compare_definitions: bool,
    #[command(flatten)]
    pub draw: DrawArgs,
    /// Write report.html, result.json, classes.csv, drawn.csv and every plot as SVG and PNG to this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// How gallery and queries are chosen.
#[derive(Args)]
pub struct DrawArgs {
    /// Draw gallery and queries from each intersection at random, so many of each, instead of by the role column.
    #[arg(long, value_name = "GALLERY,QUERIES", value_delimiter = ',', num_args = 2)]
    pub draw: Option<Vec<usize>>,
    /// Seed of the draw.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl DrawArgs {
    /// Give `faces` their roles, if a draw was asked for.
    pub fn apply(&self, faces: &mut [(LabelledFace, Embedding)]) -> Result<()> {
        if let Some([gallery, queries]) = self.draw.as_deref() {
            let mut listed: Vec<LabelledFace> = faces.iter().map(|(face, _)| face.clone()).collect();
            draw_roles(&mut listed, *gallery, *queries, Seed::new(self.seed.into()))?;
            for ((face, _), drawn) in faces.iter_mut().zip(listed) {
                face.role = drawn.role;
            }
        }
        Ok(())
    }
}

/// One model's result, as JSON.
#[derive(Serialize)]
struct ModelResult {
    model: String,
    #[serde(flatten)]
    evaluation: GroupEvaluation,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    definitions: Vec<GroupEvaluation>,
    spread: Spread,
}

#[derive(Serialize)]
struct GroupsResult {
    schema: u32,
    /// Pictures that could not be used, per model.
    skipped: Vec<usize>,
    models: Vec<ModelResult>,
}

impl Groups {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let mut result = GroupsResult { schema: 1, skipped: Vec::new(), models: Vec::new() };
        let mut drawn = Vec::new();
        for name in &self.models {
            let (mut faces, skipped) = self.faces.read(&self.list, name, &session, common)?;
            self.draw.apply(&mut faces)?;
            drawn = faces.iter().map(|(face, _)| face.clone()).collect();
            let with =
                |role: Role| LabelledFaces::gallery(faces.iter().filter(move |(face, _)| face.role == Some(role)));
            let (gallery, queries): (Gallery, Gallery) = (with(Role::Gallery)?, with(Role::Query)?);
            let definitions = match self.compare_definitions {
                true => compare_definitions(&gallery, &queries, &GroupDistance::EACH)?,
                false => Vec::new(),
            };
            result.models.push(ModelResult {
                model: name.clone(),
                evaluation: evaluate(&gallery, &queries, self.group_distance)?,
                definitions,
                spread: spread(&gallery, &queries)?,
            });
            result.skipped.push(skipped);
        }
        if let Some(out) = &self.out {
            let models: Vec<ModelGroups<'_>> = result
                .models
                .iter()
                .map(|m| ModelGroups {
                    name: &m.model,
                    evaluation: &m.evaluation,
                    definitions: &m.definitions,
                    spread: &m.spread,
                })
                .collect();
            let classes = classes_csv(result.models.iter().map(|m| (m.model.as_str(), &m.evaluation)))?;
            let tables = [("classes.csv", classes), ("drawn.csv", faces_csv(&drawn)?)];
            super::write(&groups_page(&models), out, &result, &tables)?;
        }
        output::print(common.json, &result, |result| {
            let texts = result.models.iter().map(|model| {
                let title = if result.models.len() > 1 { format!("{}\n", model.model) } else { String::new() };
                let body = match model.definitions.as_slice() {
                    [] => model.evaluation.to_text(),
                    definitions => comparison_text(definitions),
                };
                let v = model.spread.by_intersection;
                let variance = format!(
                    "variance within groups {:.4}, between {:.4}: groups explain {:.1} %\n",
                    v.within,
                    v.between,
                    100.0 * v.explained
                );
                format!("{title}{body}{variance}")
            });
            texts.collect::<Vec<_>>().join("\n")
        })?;
        Ok(if result.skipped.iter().any(|n| *n > 0) { Outcome::SomeUnreadable } else { Outcome::Done })
    }
}
