//! `perface eval rank`: the candidates of many queries, as in Fig. 7, and how often they repeat.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use perface::draw::{Seed, shuffle};
use perface::embedding::Embedding;
use perface::group::{GroupDistance, GroupSet, nearest_group};
use perface::pool::Group;
use perface_evidence::eval::group_list::{LabelledFace, Role};
use perface_evidence::eval::hubness::{RankEvaluation, RankedQuery, evaluate};
use perface_evidence::pages::rank_page;

use super::LabelledFaces;
use super::groups::DrawArgs;
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Candidates kept of either end, after Fig. 7 of arXiv 2509.20281.
const MOST: usize = 2;
const LEAST: usize = 5;

/// Options of `eval rank`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface eval rank groups.csv --draw 100,150 --model sface --out out/")]
pub struct Rank {
    /// List with the columns image, gender, age_group and, unless --draw is given, role (gallery or query); or the folder
    /// of CelebAMask-HQ, from which --draw draws.
    list: PathBuf,
    #[command(flatten)]
    faces: LabelledFaces,
    /// Embedder to measure.
    #[arg(long, default_value = DEFAULT_MODEL, value_name = "NAME")]
    model: String,
    /// What the distance to a group is.
    #[arg(long, default_value_t = GroupDistance::default(), value_name = "NAME")]
    group_distance: GroupDistance,
    #[command(flatten)]
    draw: DrawArgs,
    /// Queries shown as strips.
    #[arg(long, default_value_t = 8, value_name = "N")]
    shown: usize,
    /// Write report.html, result.json, ranking.csv and the strips to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Rank {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let Self { list, faces, model, draw, .. } = self;
        let (result, skipped) = measure(list, faces, model, draw, self.group_distance, &session, common)?;
        if let Some(out) = &self.out {
            let page = rank_page(&result, self.shown, &self.faces.list.folder(&self.list));
            super::write(&page, out, &result, &[("ranking.csv", result.to_csv()?)], common)?;
        }
        output::print(common.json, &result, RankEvaluation::to_text)?;
        Ok(if skipped > 0 { Outcome::SomeUnreadable } else { Outcome::Done })
    }
}

/// Rank the gallery faces of the chosen group for every query of `list`, and count the pictures that could not be used.
pub fn measure(
    list: &Path,
    faces: &LabelledFaces,
    model: &str,
    draw: &DrawArgs,
    definition: GroupDistance,
    session: &Session,
    common: &Common,
) -> Result<(RankEvaluation, usize)> {
    let (found, skipped) = faces.read(list, model, draw, session, common)?;
    let of = |role: Role| found.iter().filter(move |(face, _)| face.role == Some(role));
    let members: Vec<&(LabelledFace, Embedding)> = of(Role::Gallery).collect();
    let gallery = LabelledFaces::gallery(members.iter().copied())?;
    let mut queries = Vec::new();
    for (face, embedding) in of(Role::Query) {
        let Some(choice) = nearest_group(embedding, &gallery, definition, GroupSet::Four) else { continue };
        let inside = |(face, _): &&&(LabelledFace, Embedding)| choice.chosen.contains(face.gender, face.age_group);
        let ranked = members.iter().filter(inside).map(|(face, other)| (face.image.clone(), embedding.cosine(other)));
        let mut ranked: Vec<(String, f32)> = ranked.collect();
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
        let least = ranked.iter().take(LEAST).cloned().collect();
        let most = ranked.iter().skip(LEAST).rev().take(MOST).cloned().collect();
        queries.push(RankedQuery { query: face.image.clone(), group: choice.chosen.to_string(), least, most });
    }
    let sizes: BTreeMap<String, usize> =
        Group::INTERSECTIONS.iter().zip(gallery.counts()).map(|(group, n)| (group.to_string(), n)).collect();
    // Queries of all groups among those shown, in an order of their own.
    shuffle(&mut Seed::new(draw.seed.into()).keyed("shown", &[]), &mut queries);
    let similarity = session.store.card(model)?.similarity;
    Ok((evaluate((model, &similarity), queries, &sizes, LEAST)?, skipped))
}
