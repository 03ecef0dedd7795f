//! `perface reproduce`: the paper's protocol in one command, on its data or on data that stand in for them.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::group::GroupDistance;
use perface::model::card::Role;
use perface::model::store::State;
use perface::table::ColumnNames;
use perface::triplets;
use perface_evidence::eval::group_list::faces_csv;
use perface_evidence::eval::groups::three_decimals;
use perface_evidence::eval::hubness::RankEvaluation;
use perface_evidence::eval::published::{self, Stage};
use perface_evidence::eval::splits::{SplitsEvaluation, evaluate as compare_runs, read_run};
use perface_evidence::eval::triplet::{DERIVED_NOTE, TripletEvaluation, TripletOptions, p_value};
use perface_evidence::pages::page::EvaluationPage;
use perface_evidence::pages::{groups_page, rank_page, splits_page, triplet_page};
use serde::Serialize;

use super::eval::groups::{DrawArgs, GroupsResult};
use super::eval::pictures::ListArgs;
use super::eval::{LabelledFaces, groups, rank, splits, triplet, write};
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Stands on every page that was not made with the paper's data.
const STAND_IN: &str = "STAND-IN DATA: neither SimCelebA nor CelebAMask-HQ; judgements may be derived from other \
                        ratings. Nothing here may be compared with the paper's figures.";
/// Gallery and query faces of each group, as published.
const PUBLISHED_DRAW: (usize, usize) = (100, 250);
/// Queries shown as strips.
const SHOWN: usize = 8;

/// Options of `reproduce`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface reproduce                      # says which files to bring\n  perface reproduce \
                  --triplets simceleba/triplets.csv --groups CelebAMask-HQ/ --exclude used.csv --out out/\n  perface reproduce --stand-in \
                  --triplets derived.csv --groups groups.csv --draw 100,150 --out out/"
)]
pub struct Reproduce {
    /// SimCelebA's judgements: reference, a, b, votes_a, votes_b (or vote1, vote2, …), perhaps split.
    #[arg(long, value_name = "FILE")]
    triplets: Option<PathBuf>,
    /// Folder of its pictures [default: the list's].
    #[arg(long, value_name = "DIR")]
    triplet_images: Option<PathBuf>,
    /// Foreign column names of the judgements, as ours=theirs,…
    #[arg(long, default_value = "", value_name = "PAIRS")]
    triplet_columns: ColumnNames,
    /// The folder of CelebAMask-HQ, or a list of faces: image, gender, age_group.
    #[arg(long, value_name = "PATH")]
    groups: Option<PathBuf>,
    /// Folder of its pictures [default: the list's].
    #[arg(long, value_name = "DIR")]
    group_images: Option<PathBuf>,
    /// Corrected labels of CelebAMask-HQ: columns idx, attr, value.
    #[arg(long, value_name = "CSV")]
    overrides: Option<PathBuf>,
    /// Pictures of --groups not to use, those SimCelebA was made from: column image.
    #[arg(long, value_name = "CSV")]
    exclude: Option<PathBuf>,
    /// Training runs for Table 3, each a folder with its run.json.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    runs: Vec<PathBuf>,
    /// Models to measure [default: all embedders that are here].
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    #[command(flatten)]
    draw: DrawArgs,
    /// The data are not the paper's: label every page and keep the paper's figures away.
    #[arg(long)]
    stand_in: bool,
    /// Folder for report.html, result.json and every table and plot.
    #[arg(long, default_value = "out/reproduce", value_name = "DIR")]
    out: PathBuf,
}

/// A file to bring and what it is for.
#[derive(Serialize)]
struct Missing {
    what: &'static str,
    bring: String,
}

#[derive(Serialize)]
struct Reproduction {
    schema: u32,
    stand_in: bool,
    models: Vec<String>,
    missing: Vec<Missing>,
    triplets: Option<TripletEvaluation>,
    groups: Option<GroupsResult>,
    rank: Option<RankEvaluation>,
    splits: Option<SplitsEvaluation>,
}

impl Reproduce {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let missing = self.missing(&session)?;
        if self.triplets.is_none() && self.groups.is_none() && self.runs.is_empty() {
            output::print(common.json, &missing, |missing| missing_text(missing))?;
            return Ok(Outcome::Usage);
        }
        let models = self.models(&session)?;
        let stamp = self.stand_in.then(|| STAND_IN.to_owned());
        let title = if self.stand_in { "The paper's protocol on stand-in data" } else { "The paper's protocol" };
        let mut page = EvaluationPage::new(title, stamp);
        let mut tables: Vec<(&str, Vec<u8>)> = Vec::new();
        let mut unreadable = false;

        let judged = self.triplets.as_ref().map(|list| {
            let mut triplets = triplets::read(list, &self.triplet_columns)?;
            if self.stand_in {
                triplet::mark_derived(&mut triplets);
            }
            let folder = ListArgs { images: self.triplet_images.clone(), columns: ColumnNames::default() }.folder(list);
            let options = TripletOptions::default();
            let result = triplet::judge(&triplets, &models, &folder, &options, &session, common)?;
            Ok::<_, anyhow::Error>((result, folder))
        });
        let judged = judged.transpose()?;
        if let Some((result, folder)) = &judged {
            page.heading("Table 1, Table 2, Fig. 4: agreement with people");
            if !self.stand_in {
                beside_table_1(&mut page, result);
            }
            page.blocks.extend(triplet_page(result, &result.examples(&[], triplet::EXAMPLES)?, folder).blocks);
            tables.push(("triplets.csv", result.to_csv()?));
            unreadable |= result.skipped.unreadable > 0;
        }
        let mut grouped = None;
        let mut ranked = None;
        if let Some(list) = &self.groups {
            let faces = LabelledFaces {
                list: ListArgs { images: self.group_images.clone(), columns: ColumnNames::default() },
                overrides: self.overrides.clone(),
                exclude: self.exclude.clone(),
            };
            let draw = DrawArgs { draw: Some(self.draw.draw.unwrap_or(PUBLISHED_DRAW)), seed: self.draw.seed };
            let distance = GroupDistance::default();
            let result = groups::measure(list, &faces, &models, &draw, distance, true, &session, common)?;
            page.heading("Table 4, Fig. 6: groups");
            if !self.stand_in {
                beside_table_4(&mut page, &result);
            }
            page.blocks.extend(groups_page(&result.for_page()).blocks);
            tables.push(("classes.csv", result.to_csv()?));
            tables.push(("drawn.csv", faces_csv(&result.drawn)?));
            unreadable |= result.skipped.iter().any(|n| *n > 0);
            let first = models.first().map_or(DEFAULT_MODEL, String::as_str);
            let (ranking, _) = rank::measure(list, &faces, first, &draw, distance, &session, common)?;
            page.heading("Fig. 7: candidates of the chosen group");
            page.blocks.extend(rank_page(&ranking, SHOWN, &faces.list.folder(list)).blocks);
            tables.push(("ranking.csv", ranking.to_csv()?));
            (grouped, ranked) = (Some(result), Some(ranking));
        }
        let mut trained = None;
        if !self.runs.is_empty() {
            let runs = self.runs.iter().map(|folder| read_run(folder)).collect::<perface::Result<Vec<_>>>()?;
            let result = compare_runs(runs)?;
            page.heading("Table 3, Fig. 5: training by split");
            page.blocks.extend(splits_page(&result, &splits::cases_by_split(&self.runs)?).blocks);
            tables.push(("runs.csv", result.to_csv()?));
            trained = Some(result);
        }
        if !missing.is_empty() {
            page.heading("What was not run");
            page.text(missing_text(&missing));
        }
        let result = Reproduction {
            schema: 1,
            stand_in: self.stand_in,
            models,
            missing,
            triplets: judged.map(|(result, _)| result),
            groups: grouped,
            rank: ranked,
            splits: trained,
        };
        write(&page, &self.out, &result, &tables, common)?;
        output::print(common.json, &result, |result| self.text(result))?;
        Ok(if unreadable { Outcome::SomeUnreadable } else { Outcome::Done })
    }

    /// All embedders of this machine that need not be fetched, the paper's first, or those that were named.
    fn models(&self, session: &Session) -> Result<Vec<String>> {
        if !self.models.is_empty() {
            return Ok(self.models.clone());
        }
        let cards = session.store.cards()?;
        let here = |name: &str| {
            cards.iter().any(|card| {
                card.name == name && card.role == Role::Embedder && session.store.state(card) == State::Ready
            })
        };
        let published = published::TABLE_1.iter().flat_map(|row| row.models).map(|name| (*name).to_owned());
        let mut names: Vec<String> = published.filter(|name| here(name)).collect();
        for card in cards.iter().filter(|card| here(&card.name)) {
            if !names.contains(&card.name) {
                names.push(card.name.clone());
            }
        }
        if names.is_empty() {
            names.push(DEFAULT_MODEL.to_owned());
        }
        Ok(names)
    }

    fn missing(&self, session: &Session) -> Result<Vec<Missing>> {
        let mut missing = Vec::new();
        if self.triplets.is_none() {
            missing.push(Missing {
                what: "Tables 1 and 2, Fig. 4",
                bring: "SimCelebA (the link is in the README of the paper's repository, kumanotanin/PerFace): its judgements \
                        as --triplets FILE with the columns reference, a, b, votes_a, votes_b (--triplet-columns maps \
                        others), its pictures as --triplet-images DIR"
                    .to_owned(),
            });
        }
        if self.groups.is_none() {
            missing.push(Missing {
                what: "Table 4, Figs. 6 and 7",
                bring: "CelebAMask-HQ (ask its authors): its folder, with CelebA-HQ-img/ and the text files, as --groups DIR; \
                        the pictures that SimCelebA uses as --exclude FILE with the column image, corrected labels as \
                        --overrides FILE"
                    .to_owned(),
            });
        }
        if self.runs.is_empty() {
            missing.push(Missing {
                what: "Table 3, Fig. 5",
                bring: "training runs on SimCelebA's splits as --runs DIR …: `perface train triplets.csv --split grid --net r50 \
                        --weights backbone.pth --tune full --labels d1 --seed 1 --out runs/d1-1`, and so on for d2 and \
                        further seeds"
                    .to_owned(),
            });
        }
        let known = session.store.cards()?;
        for row in &published::TABLE_1 {
            for name in row.models.iter().filter(|name| known.iter().all(|card| card.name != **name)) {
                let source = perface::model::presets::preset(name).map(|card| card.source).unwrap_or_default();
                let bring = format!("{}: {source}; `perface models add {name} FILE.onnx`", row.system);
                missing.push(Missing { what: "Table 1", bring });
            }
        }
        Ok(missing)
    }

    fn text(&self, result: &Reproduction) -> String {
        let mut text = if self.stand_in { format!("{STAND_IN}\n\n") } else { String::new() };
        if let Some(triplets) = &result.triplets {
            let own = triplets.to_text();
            text += own.strip_prefix(DERIVED_NOTE).unwrap_or(&own).trim_start();
            if !self.stand_in {
                for model in &triplets.models {
                    if let Some(published) = published::accuracy(&model.name) {
                        text +=
                            &format!("{}: ours {:.3}, published {published:.3}\n", model.name, model.accuracy.value);
                    }
                }
            }
            text.push('\n');
        }
        if let Some(groups) = &result.groups {
            text += &groups.to_text();
            if !self.stand_in {
                let [before, after] = [Stage::Before, Stage::After].map(published::four_way);
                text += &format!("published, of four: {before:.3} before and {after:.3} after training\n");
            }
            text.push('\n');
        }
        if let Some(rank) = &result.rank {
            text += &format!("{}\n", rank.to_text());
        }
        if let Some(splits) = &result.splits {
            text += &format!("{}\n", splits.to_text());
        }
        if !result.missing.is_empty() {
            text += &missing_text(&result.missing);
        }
        text
    }
}

fn missing_text(missing: &[Missing]) -> String {
    let mut text = "To bring:\n".to_owned();
    for Missing { what, bring } in missing {
        text += &format!("- for {what}: {bring}\n");
    }
    text
}

/// Ours beside the published ones, for the systems that were run.
fn beside_table_1(page: &mut EvaluationPage, result: &TripletEvaluation) {
    let rows = result.models.iter().map(|model| {
        let published = published::accuracy(&model.name);
        let apart = published.map(|published| model.accuracy.value - published);
        let inside = published
            .map_or("–", |p| if (model.accuracy.low..=model.accuracy.high).contains(&p) { "yes" } else { "no" });
        vec![
            model.name.clone(),
            format!("{:.3}", model.accuracy.value),
            three_decimals(published),
            apart.map_or("–".to_owned(), |apart| format!("{apart:+.3}")),
            inside.to_owned(),
            p_value(model.p_chance),
        ]
    });
    page.table(
        &["model", "ours", "published", "apart", "published inside our 95 %", "p of a coin"],
        rows.collect(),
        format!("Table 1. The published shares are of {} triplets.", published::TABLE_1_TRIPLETS),
    );
}

fn beside_table_4(page: &mut EvaluationPage, result: &GroupsResult) {
    for (stage, words) in [(Stage::Before, "before training (ArcFace)"), (Stage::After, "after training (PerFace)")] {
        let rows = published::table_4(stage).into_iter().enumerate().map(|(place, row)| {
            let ours = result
                .models
                .iter()
                .map(|model| three_decimals(model.evaluation.classes.get(place).and_then(|row| row.auc_hard)));
            let published = [row.precision, row.recall, row.accuracy, row.auc_hard].map(three_decimals);
            std::iter::once(row.class.to_string()).chain(published).chain(ours).collect()
        });
        let own = result.models.iter().map(|model| format!("our AUC, {}", model.model));
        let head = ["class", "precision", "recall", "accuracy", "AUC"].map(str::to_owned);
        let head: Vec<String> = head.into_iter().chain(own).collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let four = published::four_way(stage);
        page.table(&head, rows.collect(), format!("Table 4 {words}; of four groups, {four:.3} (not printed there)."));
    }
}
