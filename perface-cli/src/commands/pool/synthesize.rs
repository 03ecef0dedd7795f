//! `perface pool synthesize`: composites of consenting people, kept only if they resemble none of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use perface::atomic::{self, Overwrite};
use perface::candidates::{Reader, SMILING_COLUMN};
use perface::composite::{self, Composite, Donor, Judgement};
use perface::embedding::Embedding;
use perface::parallel::in_parallel;
use perface::photo::{self, Limits};
use perface::pool::labels::OLDER_FROM_YEARS;
use perface::pool::manifest::FILE_NAME;
use perface::pool::{AgeGroup, Entry, Gender, Group, LabelSource, Manifest};
use perface::replace::Gate;
use perface::table::{ColumnNames, Table};
use serde::Serialize;

use super::{build, list};
use crate::args::Common;
use crate::output::Outcome;
use crate::progress;
use crate::session::{DEFAULT_MODEL, Session};

/// No younger person may be a donor.
const ADULT_FROM_YEARS: f64 = 18.0;

/// A group with fewer donors borrows variety from the other age group.
const MANY_DONORS: usize = 16;

/// Name of the table of what was proposed and rejected, beside pool.csv.
const RECORD: &str = "synthesis.json";

/// Options of `pool synthesize`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  perface pool synthesize --from consented/ --out pool/ --count 12\n\nThe folder holds \
                        ID_neutral.jpg and perhaps ID_smile.jpg for each person, and info.csv with the columns face_id, \
                        age and gender. Only use portraits of adults who agreed to this."
)]
pub struct Synthesize {
    /// Folder of portraits with info.csv.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Folder of the new pool.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Composites wanted of each group.
    #[arg(long, default_value_t = composite::Options::default().count)]
    count: usize,
    /// Composites proposed of each group at most.
    #[arg(long, default_value_t = composite::Options::default().max_proposals)]
    max_proposals: usize,
    /// Same portraits and seed: same composites.
    #[arg(long, default_value_t = composite::Options::default().seed)]
    seed: u64,
    /// Side of the pictures, in pixels.
    #[arg(long, default_value_t = composite::Options::default().size_px)]
    size: u32,
    /// JPEG quality of the pictures.
    #[arg(long, default_value_t = 82)]
    quality: u8,
    /// Recognisers that must not take a composite for a contributor.
    #[arg(long, default_value = DEFAULT_MODEL, value_delimiter = ',')]
    models: Vec<String>,
    /// Distance of a shape from its group's mean, where that of a person is about 1.
    #[arg(long, default_value_t = composite::Options::default().shape_spread, value_name = "X")]
    shape_spread: f32,
    /// The same for texture.
    #[arg(long, default_value_t = composite::Options::default().texture_spread, value_name = "X")]
    texture_spread: f32,
    /// No composite is more like another of its group than this cosine of the first recogniser, where its proposals allow it.
    #[arg(long, default_value_t = 0.6, value_name = "COSINE")]
    max_alike: f32,
    /// Licence of the composites.
    #[arg(long, default_value = "")]
    licence: String,
    /// Whom to name.
    #[arg(long, default_value = "")]
    attribution: String,
    /// Where the portraits are from.
    #[arg(long, default_value = "own")]
    source: String,
    /// People not to use, by id: beards, glasses, fringes.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
    /// Make only these groups, such as older-female [default: all four].
    #[arg(long, value_delimiter = ',', value_name = "GROUPS")]
    only: Vec<String>,
    /// Foreign column names of info.csv, as ours=theirs,…
    #[arg(long, default_value = "", value_name = "PAIRS")]
    columns: ColumnNames,
}

/// What happened to the proposals of one group.
#[derive(Clone, Debug, Default, Serialize)]
struct Tally {
    donors: usize,
    /// People of the other age group who lent variety.
    helpers: usize,
    proposals: usize,
    accepted: usize,
    /// In how many no face was found.
    no_face: usize,
    /// How many were too much like one already kept.
    too_alike: usize,
    /// Proposals each recogniser took for a contributor.
    rejected_by: BTreeMap<String, usize>,
    /// Highest cosine with any contributor photo among the accepted, for each recogniser.
    highest_accepted: BTreeMap<String, f32>,
    /// Mean over the accepted of the highest cosine with a contributor photo.
    mean_highest: BTreeMap<String, f32>,
    /// Mean cosine of two accepted composites, for each recogniser: the lower, the more they differ.
    mean_between: BTreeMap<String, f32>,
    /// For each accepted composite the embeddings of its neutral picture by each recogniser.
    #[serde(skip)]
    kept: Vec<Vec<Embedding>>,
}

/// A donor and, for each recogniser, the embeddings of each of their photos.
struct Known {
    donor: Donor,
    group: Group,
    embeddings: Vec<Vec<Embedding>>,
}

impl Synthesize {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let gates = self.models.iter().map(|name| session.gate(name)).collect::<Result<Vec<_>>>()?;
        let reader = session.reader(DEFAULT_MODEL)?;
        let (known, left_out) = self.donors(&reader, &gates, common)?;
        for line in &left_out {
            eprintln!("perface: left out {line}");
        }
        let wanted = |group: &Group| self.only.is_empty() || self.only.contains(&group.to_string());
        let groups: Vec<Group> = Group::INTERSECTIONS.into_iter().filter(wanted).collect();
        let bar = progress::bar(self.count * groups.len(), "composites", common.quiet);
        let made = in_parallel(&groups, |&group| self.group(group, &known, &reader, &gates, &bar));
        bar.finish_and_clear();
        let mut tallies = BTreeMap::new();
        let mut manifest = Manifest { entries: Vec::new(), other_columns: vec![SMILING_COLUMN.to_owned()] };
        for (group, made) in groups.into_iter().zip(made) {
            let (tally, composites) = made.with_context(|| format!("{group}"))?;
            for (n, composite) in composites.iter().enumerate() {
                manifest.entries.push(self.write(group, n + 1, composite)?);
            }
            tallies.insert(group.to_string(), tally);
        }
        manifest.write(&self.out.join(FILE_NAME))?;
        let record = serde_json::json!({ "schema": 1, "seed": self.seed, "models": self.models,
            "shape_spread": self.shape_spread, "texture_spread": self.texture_spread, "groups": tallies });
        atomic::write(&self.out.join(RECORD), &serde_json::to_vec_pretty(&record)?, Overwrite::Always)?;
        for (group, tally) in &tallies {
            eprintln!(
                "{group}: {} of {} proposals kept; taken for a contributor: {:?}; highest cosine kept: {:?}",
                tally.accepted, tally.proposals, tally.rejected_by, tally.highest_accepted
            );
        }
        let pool = build::record_leave_one_out(&session, &self.out, reader)?;
        list::print(common, &pool)?;
        let short = tallies.values().any(|tally| tally.accepted < self.count);
        Ok(if short { Outcome::Failure } else { Outcome::Done })
    }

    /// The people of info.csv whose photos can be used, and why others cannot.
    fn donors(&self, reader: &Reader, gates: &[Gate], common: &Common) -> Result<(Vec<Known>, Vec<String>)> {
        let table = Table::read(&self.from.join("info.csv"), &self.columns, &["face_id", "age", "gender"])?;
        let mut people = Vec::new();
        let mut left_out = Vec::new();
        for row in table.rows() {
            let id = row.get("face_id").to_owned();
            let Ok(age) = row.get("age").parse::<f64>() else {
                left_out.push(format!("{id}: age is not known"));
                continue;
            };
            let gender: Gender = row.parse("gender")?;
            if age.is_nan() || age < ADULT_FROM_YEARS {
                left_out.push(format!("{id}: {age} years old"));
            } else if self.skip.contains(&id) {
                left_out.push(format!("{id}: as asked"));
            } else {
                let age_group = if age >= f64::from(OLDER_FROM_YEARS) { AgeGroup::Older } else { AgeGroup::Young };
                people.push((id, Group::of(gender, age_group)));
            }
        }
        let bar = progress::bar(people.len(), "people", common.quiet);
        let read = in_parallel(&people, |(id, group)| {
            bar.inc(1);
            self.known(id, *group, reader, gates)
        });
        bar.finish_and_clear();
        let mut known = Vec::new();
        for ((id, _), result) in people.iter().zip(read) {
            match result {
                Ok(one) => known.push(one),
                Err(error) => left_out.push(format!("{id}: {error}")),
            }
        }
        Ok((known, left_out))
    }

    fn known(&self, id: &str, group: Group, reader: &Reader, gates: &[Gate]) -> Result<Known> {
        let neutral_path = self.from.join(format!("{id}_neutral.jpg"));
        let smiling_path = self.from.join(format!("{id}_smile.jpg"));
        let neutral = reader.mesh_file(&neutral_path)?;
        let smiling = if smiling_path.exists() { Some(reader.mesh_file(&smiling_path)?) } else { None };
        let mut embeddings = Vec::new();
        for picture in std::iter::once(&neutral.0).chain(smiling.as_ref().map(|s| &s.0)) {
            embeddings.push(embed(picture, reader, gates)?.context("no face was found")?);
        }
        Ok(Known { donor: Donor { id: id.to_owned(), neutral, smiling }, group, embeddings })
    }

    fn group(
        &self,
        group: Group,
        known: &[Known],
        reader: &Reader,
        gates: &[Gate],
        bar: &indicatif::ProgressBar,
    ) -> Result<(Tally, Vec<Composite>)> {
        let of =
            |wanted: Group| known.iter().filter(move |known| known.group == wanted).map(|known| known.donor.clone());
        let donors: Vec<Donor> = of(group).collect();
        // A small group borrows variety from people of the same gender and the other age.
        let helpers: Vec<Donor> = if donors.len() < MANY_DONORS { of(other_age(group)).collect() } else { Vec::new() };
        let place = Group::INTERSECTIONS.iter().position(|&g| g == group).unwrap_or(0) as u64;
        let options = composite::Options {
            count: self.count,
            max_proposals: self.max_proposals,
            seed: self.seed.wrapping_add(place),
            size_px: self.size,
            shape_spread: self.shape_spread,
            texture_spread: self.texture_spread,
            ..Default::default()
        };
        let mut tally = Tally { donors: donors.len(), helpers: helpers.len(), ..Default::default() };
        let mut failure = None;
        let composites = composite::synthesize(&donors, &helpers, &options, &mut |proposal| {
            tally.proposals += 1;
            let judgement = self.judge(proposal, known, reader, gates, &mut tally).unwrap_or_else(|error| {
                failure = Some(error);
                Judgement::Drop
            });
            if judgement == Judgement::Take {
                tally.accepted += 1;
                bar.inc(1);
            }
            judgement
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        for value in tally.mean_highest.values_mut() {
            *value /= tally.accepted.max(1) as f32;
        }
        for (place, gate) in gates.iter().enumerate() {
            let of = |n: usize| tally.kept.get(n).and_then(|all| all.get(place));
            let pairs = (0..tally.kept.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
            let cosines: Vec<f32> = pairs.filter_map(|(a, b)| Some(of(a)?.cosine(of(b)?))).collect();
            let mean = cosines.iter().sum::<f32>() / cosines.len().max(1) as f32;
            tally.mean_between.insert(gate.embedder.card().name.clone(), mean);
        }
        Ok((tally, composites))
    }

    /// Taken if no recogniser knows a contributor in either picture; otherwise the contributor known best is named.
    fn judge(
        &self,
        proposal: &Composite,
        known: &[Known],
        reader: &Reader,
        gates: &[Gate],
        tally: &mut Tally,
    ) -> Result<Judgement> {
        let mut seen = Vec::new();
        for picture in std::iter::once(&proposal.picture).chain(proposal.twin.as_ref().map(|twin| &twin.0)) {
            // Judged as it will be published: compression changes cosines, too.
            let bytes = photo::encode_jpeg(picture, self.quality)?;
            let published = photo::decode(&bytes, Path::new("composite"), &Limits::default())?.pixels;
            match embed(&published, reader, gates)? {
                Some(embeddings) => seen.push(embeddings),
                None => {
                    tally.no_face += 1;
                    return Ok(Judgement::Drop);
                }
            }
        }
        // The highest cosine of either picture with any photo of each contributor.
        let highest = |place: usize, id: &String| {
            let photos = known.iter().filter(|known| known.donor.id == *id).flat_map(|known| &known.embeddings);
            let pairs = photos.flat_map(|photo| seen.iter().map(move |ours| (ours, photo)));
            pairs
                .filter_map(|(ours, theirs)| Some(ours.get(place)?.cosine(theirs.get(place)?)))
                .fold(f32::NEG_INFINITY, f32::max)
        };
        let mut nearest: Option<(f32, usize)> = None;
        let mut most = Vec::with_capacity(gates.len());
        for (place, gate) in gates.iter().enumerate() {
            let cosines: Vec<f32> = proposal.contributors.iter().map(|id| highest(place, id)).collect();
            let worst = cosines.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
            let Some((contributor, cosine)) = worst else { return Ok(Judgement::Drop) };
            most.push(cosine);
            let margin = cosine - gate.same_person_cosine;
            if margin >= 0.0 {
                *tally.rejected_by.entry(gate.embedder.card().name.clone()).or_default() += 1;
                if nearest.is_none_or(|(m, _)| margin > m) {
                    nearest = Some((margin, contributor));
                }
            }
        }
        if let Some((_, contributor)) = nearest {
            return Ok(Judgement::TooNear(contributor));
        }
        let Some(neutral) = seen.into_iter().next() else { return Ok(Judgement::Drop) };
        let alike = |kept: &Vec<Embedding>| {
            kept.first().zip(neutral.first()).is_some_and(|(a, b)| a.cosine(b) > self.max_alike)
        };
        if tally.kept.iter().any(alike) {
            tally.too_alike += 1;
            return Ok(Judgement::Drop);
        }
        tally.kept.push(neutral);
        for (gate, cosine) in gates.iter().zip(most) {
            let name = &gate.embedder.card().name;
            let highest = tally.highest_accepted.entry(name.clone()).or_insert(cosine);
            *highest = highest.max(cosine);
            *tally.mean_highest.entry(name.clone()).or_default() += cosine;
        }
        Ok(Judgement::Take)
    }

    fn write(&self, group: Group, number: usize, composite: &Composite) -> Result<Entry> {
        let id = format!("{group}-{number:02}");
        let file = format!("{id}.jpg");
        self.write_picture(&file, &composite.picture)?;
        let smiling = match &composite.twin {
            Some((picture, _)) => {
                let file = format!("{id}-smiling.jpg");
                self.write_picture(&file, picture)?;
                file
            }
            None => String::new(),
        };
        Ok(Entry {
            line: 0,
            id,
            file,
            gender: group.gender(),
            age_group: group.age_group(),
            label_source: Some(LabelSource::Composite),
            source: self.source.clone(),
            licence: self.licence.clone(),
            attribution: self.attribution.clone(),
            contributors: composite.contributors.clone(),
            other: vec![smiling],
        })
    }

    fn write_picture(&self, file: &str, picture: &image::RgbImage) -> Result<()> {
        let bytes = photo::encode_jpeg(picture, self.quality)?;
        Ok(atomic::write(&self.out.join(Path::new(file)), &bytes, Overwrite::Always)?)
    }
}

/// The group of the same gender and the other age.
fn other_age(group: Group) -> Group {
    match group {
        Group::YoungMale => Group::OlderMale,
        Group::OlderMale => Group::YoungMale,
        Group::YoungFemale => Group::OlderFemale,
        _ => Group::YoungFemale,
    }
}

/// The main face of `picture`, embedded by every gate; `None` if there is no face.
fn embed(picture: &image::RgbImage, reader: &Reader, gates: &[Gate]) -> Result<Option<Vec<Embedding>>> {
    let Some(face) = reader.main_face(picture)? else { return Ok(None) };
    Ok(gates.iter().map(|gate| gate.embedder.embed_face(picture, &face)).collect::<perface::Result<_>>()?)
}
