//! `perface group`: which group of the pool a face is nearest to (STEP 1).

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::group::{GroupBy, GroupChoice, GroupDistance, GroupSet, nearest_group};
use perface::pool::Group as PoolGroup;
use serde::Serialize;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, OnePerson, Session};

/// Options that choose a group.
#[derive(Args, Clone)]
pub struct GroupArgs {
    /// Folder of candidate faces with its pool.csv [default: the built-in composites].
    #[arg(long, value_name = "DIR")]
    pub pool: Option<PathBuf>,
    /// Embedder for groups and ranking.
    #[arg(long, default_value = DEFAULT_MODEL)]
    pub model: String,
    /// What the distance to a group is; see docs/data.md for all.
    #[arg(long, default_value_t = GroupDistance::default(), value_name = "NAME")]
    pub group_distance: GroupDistance,
    /// Compare the four intersections of gender and age, or the paper's eight groups.
    #[arg(long, default_value_t = GroupSet::default(), value_name = "four|eight")]
    pub groups: GroupSet,
    /// What decides the group: similarity, classifier (gender and age networks), or auto: similarity where the pool was
    /// measured to reach a gender accuracy of .90.
    #[arg(long, default_value_t = GroupBy::Auto, value_name = "RULE")]
    pub group_by: GroupBy,
}

/// Options of `group`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface group portrait.jpg --group-distance median")]
pub struct Group {
    /// A photo; its main face is taken.
    photo: PathBuf,
    #[command(flatten)]
    group: GroupArgs,
}

/// The group of one face and how it came about.
#[derive(Serialize)]
pub struct Grouped {
    pub similarity: String,
    pub group_distance: String,
    pub chosen_group: PoolGroup,
    pub grouped_by: GroupBy,
    pub because: String,
    pub p_male: f32,
    pub age_years: f32,
    #[serde(flatten)]
    pub by_similarity: GroupChoice,
}

impl GroupArgs {
    /// The group of `person`.
    pub fn decide(
        &self,
        session: &Session,
        candidates: &perface::candidates::Candidates,
        card: &perface::model::card::ModelCard,
        person: &OnePerson,
    ) -> Result<Grouped> {
        let attributes = session.attributes()?.read(&person.photo.pixels, &person.face)?;
        let held_out = candidates.pool().record().held_out(&card.sha256, &self.group_distance.to_string());
        let (grouped_by, because) = self.group_by.resolve(held_out);
        let choice = nearest_group(&person.embedding, candidates.gallery(), self.group_distance, self.groups)
            .ok_or_else(|| perface::Error::Usage("the pool has no faces".to_owned()))?;
        let chosen_group = match grouped_by {
            GroupBy::Classifier => PoolGroup::of(attributes.gender(), attributes.age_group()),
            _ => choice.chosen,
        };
        Ok(Grouped {
            similarity: card.similarity.clone(),
            group_distance: self.group_distance.to_string(),
            chosen_group,
            grouped_by,
            because,
            p_male: attributes.p_male,
            age_years: attributes.age_years,
            by_similarity: choice,
        })
    }
}

impl Group {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let reader = session.reader(&self.group.model)?;
        let card = reader.embedder.card().clone();
        let person = OnePerson::read(&self.photo, &reader)?;
        let candidates = session.candidates(self.group.pool.as_deref(), reader)?;
        let grouped = self.group.decide(&session, &candidates, &card, &person)?;
        output::print(common.json, &grouped, text)?;
        Ok(Outcome::Done)
    }
}

fn text(grouped: &Grouped) -> String {
    let mut out = String::new();
    let Grouped { chosen_group, grouped_by, because, .. } = grouped;
    let _ = writeln!(out, "{chosen_group}, by {grouped_by}: {because}");
    let _ = writeln!(out, "apparent age {:.0}, p(male) {:.2}", grouped.age_years, grouped.p_male);
    let _ = writeln!(out, "distance (1 − {}, {}):", grouped.similarity, grouped.group_distance);
    for row in &grouped.by_similarity.distances {
        let nearest = if row.name == grouped.by_similarity.chosen { "  nearest" } else { "" };
        let _ = writeln!(
            out,
            "  {:<14} {:.3}  mean {:.3}  n {}{nearest}",
            row.name.to_string(),
            row.distance,
            row.mean,
            row.n
        );
    }
    out
}
