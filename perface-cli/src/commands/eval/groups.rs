//! `perface eval groups`: STEP 1 measured as published, as in Table 4 and Fig. 6.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use perface::group::{Gallery, GroupDistance};
use perface_evidence::eval::group_list::{LabelledFace, Role, faces_csv};
use perface_evidence::eval::groups::{GroupEvaluation, classes_csv, compare_definitions, comparison_text, evaluate};
use perface_evidence::eval::spread::{Spread, spread};
use perface_evidence::pages::{ModelGroups, groups_page};
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
    /// List with the columns image, gender, age_group and, unless --draw is given, role (gallery or query); or the folder
    /// of CelebAMask-HQ, from which --draw draws.
    list: PathBuf,
    #[command(flatten)]
    faces: LabelledFaces,
    /// Embedder to measure; give it again for another beside it, such as before and after training.
    #[arg(long = "model", default_value = DEFAULT_MODEL, value_name = "NAME")]
    models: Vec<String>,
    /// What the distance to a group is.
    #[arg(long, default_value_t = GroupDistance::default(), value_name = "NAME")]
    group_distance: GroupDistance,
    /// Print every definition of the distance side by side.
    #[arg(long)]
    compare_definitions: bool,
    #[command(flatten)]
    draw: DrawArgs,
    /// Write report.html, result.json, classes.csv, drawn.csv and every plot as SVG and PNG to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How gallery and queries are chosen.
#[derive(Args, Default)]
pub struct DrawArgs {
    /// Draw gallery and queries from each intersection at random, so many of each, instead of by the role column.
    #[arg(long, value_name = "GALLERY,QUERIES", value_parser = two_numbers)]
    pub draw: Option<(usize, usize)>,
    /// Seed of the draw.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `100,150` as two numbers.
fn two_numbers(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once(',').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    numbers.ok_or_else(|| format!("{text:?} is not of the form GALLERY,QUERIES, such as 100,150"))
}

/// One model's result, as JSON.
#[derive(Serialize)]
pub struct ModelResult {
    pub model: String,
    #[serde(flatten)]
    pub evaluation: GroupEvaluation,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    definitions: Vec<GroupEvaluation>,
    spread: Spread,
}

/// All models' results, as JSON.
#[derive(Serialize)]
pub struct GroupsResult {
    schema: u32,
    /// Pictures that could not be used, per model.
    pub skipped: Vec<usize>,
    pub models: Vec<ModelResult>,
    /// The faces with their roles.
    #[serde(skip)]
    pub drawn: Vec<LabelledFace>,
}

/// Measure the models called `models` on the faces of `list`.
#[allow(clippy::too_many_arguments)]
pub fn measure(
    list: &Path,
    faces: &LabelledFaces,
    models: &[String],
    draw: &DrawArgs,
    definition: GroupDistance,
    compare: bool,
    session: &Session,
    common: &Common,
) -> Result<GroupsResult> {
    let mut result = GroupsResult { schema: 1, skipped: Vec::new(), models: Vec::new(), drawn: Vec::new() };
    for name in models {
        let (found, skipped) = faces.read(list, name, draw, session, common)?;
        let with = |role: Role| LabelledFaces::gallery(found.iter().filter(move |(face, _)| face.role == Some(role)));
        let (gallery, queries): (Gallery, Gallery) = (with(Role::Gallery)?, with(Role::Query)?);
        let definitions = match compare {
            true => compare_definitions(&gallery, &queries, &GroupDistance::EACH)?,
            false => Vec::new(),
        };
        result.models.push(ModelResult {
            model: name.clone(),
            evaluation: evaluate(&gallery, &queries, definition)?,
            definitions,
            spread: spread(&gallery, &queries)?,
        });
        result.skipped.push(skipped);
        result.drawn = found.into_iter().map(|(face, _)| face).collect();
    }
    Ok(result)
}

impl GroupsResult {
    /// What the page shows of each model.
    pub fn for_page(&self) -> Vec<ModelGroups<'_>> {
        let models = self.models.iter();
        models
            .map(|ModelResult { model, evaluation, definitions, spread }| ModelGroups {
                name: model,
                evaluation,
                definitions,
                spread,
            })
            .collect()
    }

    /// Every class of every model.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        Ok(classes_csv(self.models.iter().map(|m| (m.model.as_str(), &m.evaluation)))?)
    }

    /// As text.
    pub fn to_text(&self) -> String {
        let texts = self.models.iter().map(|model| {
            let title = if self.models.len() > 1 { format!("{}\n", model.model) } else { String::new() };
            let body = match model.definitions.as_slice() {
                [] => model.evaluation.to_text(),
                definitions => comparison_text(definitions),
            };
            let v = model.spread.by_intersection;
            format!(
                "{title}{body}variance within groups {:.4}, between {:.4}: groups explain {:.1} %\n",
                v.within,
                v.between,
                100.0 * v.explained
            )
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

impl Groups {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let Self { list, faces, models, draw, .. } = self;
        let compare = self.compare_definitions;
        let result = measure(list, faces, models, draw, self.group_distance, compare, &session, common)?;
        if let Some(out) = &self.out {
            let tables = [("classes.csv", result.to_csv()?), ("drawn.csv", faces_csv(&result.drawn)?)];
            super::write(&groups_page(&result.for_page()), out, &result, &tables, common)?;
        }
        output::print(common.json, &result, GroupsResult::to_text)?;
        Ok(if result.skipped.iter().any(|n| *n > 0) { Outcome::SomeUnreadable } else { Outcome::Done })
    }
}
