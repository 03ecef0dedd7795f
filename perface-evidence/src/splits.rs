//! Divide triplets into training, validation and test sets that share nothing they must not share.
//!
//! A study shows every target with every source triplet, so its questions form a grid. Some targets and some source
//! triplets are held out, which gives three test sets: \[i\] neither was seen in training, \[ii\] the sources were,
//! \[iii\] the target was. Where questions are about single pictures instead, the pictures are divided, and questions
//! that would need pictures of two parts are left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr;

use serde::Serialize;

use perface::draw::{Seed, below};
use perface::error::{Error, Result};
use perface::triplets::{Split, Triplet};

/// What is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Targets and source triplets of a study's grid.
    #[default]
    Grid,
    /// Targets of a grid alone: every source is known in advance, as in a pool. Gives \[ii\] only.
    Targets,
    /// Pictures. Gives \[i\] only.
    Pictures,
}

impl FromStr for Scheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "grid" => Ok(Self::Grid),
            "targets" => Ok(Self::Targets),
            "pictures" => Ok(Self::Pictures),
            _ => Err(format!("{text:?} is none of grid, targets, pictures")),
        }
    }
}

/// How much is held out.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitOptions {
    /// What is divided.
    pub scheme: Scheme,
    /// Share of targets, of source triplets or of pictures kept for the test, in `(0, 1)`; the published study's grid
    /// of 80 × 80 gives a training part of 64 × 64 with one fifth.
    pub test: f64,
    /// Share of what is left, kept to stop by: single cells of a grid, or pictures.
    pub val: f64,
    /// Stratum of a target or source triplet, such as its gender: each gives its share to the test.
    pub strata: HashMap<String, String>,
    /// Pictures known in advance, as those of a pool are, with [`Scheme::Pictures`]: never held out. A new reference
    /// compared with two of them is then a question of \[ii\].
    pub known: HashSet<String>,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self { scheme: Scheme::Grid, test: 0.2, val: 0.1, strata: HashMap::new(), known: HashSet::new() }
    }
}

/// The part of each of `triplets`, in their order; `None` for a question that would need pictures of two parts.
///
/// # Errors
/// [`Error::Usage`] if a share is not in `(0, 1)` or a part has no question.
pub fn draw(triplets: &[Triplet], options: &SplitOptions, seed: Seed) -> Result<Vec<Option<Split>>> {
    for (name, share) in [("test", options.test), ("validation", options.val)] {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::Usage(format!("the {name} share must lie between 0 and 1, not {share}")));
        }
    }
    let parts: Vec<Option<Split>> = match options.scheme {
        Scheme::Pictures => pictures(triplets, options, seed),
        Scheme::Grid | Scheme::Targets => {
            let targets = triplets.iter().map(|t| t.target_id.as_str()).collect();
            let targets = held("split targets", targets, options.test, options, seed);
            let sources = match options.scheme {
                Scheme::Targets => HashSet::new(),
                _ => {
                    let sources = triplets.iter().map(|t| t.triplet_id.as_str()).collect();
                    held("split sources", sources, options.test, options, seed)
                }
            };
            let new = |t: &Triplet| (targets.contains(t.target_id.as_str()), sources.contains(t.triplet_id.as_str()));
            let seen = triplets.iter().filter(|t| new(t) == (false, false)).map(|t| t.sample_id.as_str()).collect();
            let val: HashSet<&str> = drawn(seen, options.val, seed, "split validation cells", "").into_iter().collect();
            let part = |t: &Triplet| match new(t) {
                (true, true) => Split::I,
                (true, false) => Split::Ii,
                (false, true) => Split::Iii,
                _ if val.contains(t.sample_id.as_str()) => Split::Val,
                _ => Split::Train,
            };
            triplets.iter().map(|triplet| Some(part(triplet))).collect()
        }
    };
    let wanted: &[Split] = match options.scheme {
        Scheme::Grid => &[Split::Train, Split::Val, Split::I, Split::Ii, Split::Iii],
        Scheme::Targets => &[Split::Train, Split::Val, Split::Ii],
        Scheme::Pictures if options.known.is_empty() => &[Split::Train, Split::Val, Split::I],
        Scheme::Pictures => &[Split::Train, Split::Val, Split::Ii],
    };
    match wanted.iter().find(|wanted| !parts.contains(&Some(**wanted))) {
        Some(empty) => Err(Error::Usage(format!(
            "of {} triplets none falls into the part {empty}; hold out more, or bring more triplets",
            triplets.len()
        ))),
        None => Ok(parts),
    }
}

/// Parts by pictures. Of a question with known pictures, a test or validation part takes it only as it will be used:
/// the reference is new and both faces it is compared with are known.
fn pictures(triplets: &[Triplet], options: &SplitOptions, seed: Seed) -> Vec<Option<Split>> {
    let known = |picture: &str| options.known.contains(picture);
    let new: BTreeSet<&str> = triplets.iter().flat_map(Triplet::pictures).filter(|picture| !known(picture)).collect();
    let test = held("split test pictures", new.clone(), options.test, options, seed);
    let rest = new.into_iter().filter(|picture| !test.contains(picture)).collect();
    let val = held("split validation pictures", rest, options.val, options, seed);
    let part = |picture: &str| match (test.contains(picture), val.contains(picture)) {
        (true, _) => Split::I,
        (_, true) => Split::Val,
        _ => Split::Train,
    };
    let one = |[c, a, b]: [&str; 3]| {
        let mut new = [c, a, b].into_iter().filter(|picture| !known(picture)).map(part);
        let first = new.next().unwrap_or(Split::Train);
        if !new.all(|part| part == first) {
            return None;
        }
        match (first, known(c), known(a) && known(b), known(a) || known(b)) {
            (Split::Train, ..) | (_, false, _, false) => Some(first),
            (Split::Val, false, true, _) => Some(Split::Val),
            (_, false, true, _) => Some(Split::Ii),
            _ => None,
        }
    };
    let mut parts: Vec<Option<Split>> = triplets.iter().map(|triplet| one(triplet.pictures())).collect();
    let learnt = triplets.iter().zip(&parts).filter(|(_, part)| **part == Some(Split::Train));
    let seen: HashSet<&str> = learnt.flat_map(|(triplet, _)| triplet.pictures()).collect();
    for (triplet, part) in triplets.iter().zip(&mut parts) {
        if *part == Some(Split::Ii) && !(seen.contains(triplet.a.as_str()) && seen.contains(triplet.b.as_str())) {
            *part = None;
        }
    }
    parts
}

/// `share` of the names of each stratum.
fn held<'a>(
    purpose: &str,
    names: BTreeSet<&'a str>,
    share: f64,
    options: &SplitOptions,
    seed: Seed,
) -> HashSet<&'a str> {
    let mut strata: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for name in names {
        strata.entry(options.strata.get(name).map_or("", String::as_str)).or_default().push(name);
    }
    strata.into_iter().flat_map(|(stratum, names)| drawn(names, share, seed, purpose, stratum)).collect()
}

/// `share` of `names`, rounded, at least one of two or more.
fn drawn<'a>(mut names: Vec<&'a str>, share: f64, seed: Seed, purpose: &str, stratum: &str) -> Vec<&'a str> {
    let mut rng = seed.keyed(purpose, &[stratum.as_bytes()]);
    let wanted = ((names.len() as f64 * share).round() as usize).clamp(usize::from(names.len() > 1), names.len());
    for index in 0..wanted {
        let other = index + below(&mut rng, names.len() - index);
        names.swap(index, other);
    }
    names.truncate(wanted);
    names
}

/// Sizes of the parts of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitReport {
    /// Questions of each part.
    pub questions: BTreeMap<Split, usize>,
    /// Targets of the training part.
    pub train_targets: usize,
    /// Source triplets of the training part.
    pub train_sources: usize,
    /// Questions that belong to no part.
    pub unused: usize,
}

/// Check that the parts share nothing they must not share: \[i\] neither targets, source triplets nor pictures with
/// training and validation, \[ii\] no targets and pictures, \[iii\] no source triplets and pictures; and that \[ii\] has
/// known sources, \[iii\] known targets. Pictures that are `known` in advance may be shared, and stand for known sources.
///
/// # Errors
/// [`Error::Usage`] naming the first question that leaks.
pub fn check(triplets: &[Triplet], known: &HashSet<String>) -> Result<SplitReport> {
    let learnt = |t: &&Triplet| matches!(t.split, Some(Split::Train | Split::Val));
    let known_targets: HashSet<&str> = triplets.iter().filter(learnt).map(|t| t.target_id.as_str()).collect();
    let known_sources: HashSet<&str> = triplets.iter().filter(learnt).map(|t| t.triplet_id.as_str()).collect();
    let known_pictures: HashSet<&str> = triplets.iter().filter(learnt).flat_map(Triplet::pictures).collect();
    for triplet in triplets {
        let Some(split @ (Split::I | Split::Ii | Split::Iii)) = triplet.split else { continue };
        let leak = |what: &str, name: &str| {
            Error::Usage(format!("{}: {what} {name:?} of test set {split} is in training too", triplet.sample_id))
        };
        let target_is_known = known_targets.contains(triplet.target_id.as_str());
        let both_are_known = [&triplet.a, &triplet.b]
            .into_iter()
            .all(|picture| known.contains(picture) && known_pictures.contains(picture.as_str()));
        let source_is_known = known_sources.contains(triplet.triplet_id.as_str()) || both_are_known;
        if split != Split::Iii && target_is_known {
            return Err(leak("target", &triplet.target_id));
        }
        if split != Split::Ii && source_is_known {
            return Err(leak("source triplet", &triplet.triplet_id));
        }
        let is_shared = |picture: &&str| known_pictures.contains(picture) && !known.contains(*picture);
        if let Some(picture) = triplet.pictures().into_iter().find(is_shared) {
            return Err(leak("picture", picture));
        }
        let absent = |what: &str, name: &str| {
            Error::Usage(format!("{}: {what} {name:?} of test set {split} is not in training", triplet.sample_id))
        };
        if split == Split::Iii && !target_is_known {
            return Err(absent("target", &triplet.target_id));
        }
        if split == Split::Ii && !source_is_known {
            return Err(absent("source triplet", &triplet.triplet_id));
        }
    }
    let mut questions = BTreeMap::new();
    for split in triplets.iter().filter_map(|triplet| triplet.split) {
        *questions.entry(split).or_insert(0) += 1;
    }
    Ok(SplitReport {
        questions,
        train_targets: known_targets.len(),
        train_sources: known_sources.len(),
        unused: triplets.iter().filter(|triplet| triplet.split.is_none()).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use perface::triplets::Kind;

    fn question(target: usize, source: usize) -> Triplet {
        let picture = |which: &str| format!("{target}-{source}-{which}.png");
        Triplet {
            sample_id: format!("{target}-{source}"),
            target_id: format!("t{target}"),
            triplet_id: format!("s{source}"),
            reference: picture("c"),
            a: picture("a"),
            b: picture("b"),
            votes_a: 3,
            votes_b: 0,
            kind: Kind::Real,
            split: None,
        }
    }

    fn grid(side: usize) -> Vec<Triplet> {
        (0..side * side).map(|cell| question(cell / side, cell % side)).collect()
    }

    fn split(mut triplets: Vec<Triplet>, options: &SplitOptions, seed: u128) -> Vec<Triplet> {
        let parts = draw(&triplets, options, Seed::new(seed)).unwrap();
        triplets.iter_mut().zip(parts).for_each(|(triplet, part)| triplet.split = part);
        triplets
    }

    #[test]
    fn the_published_grid_gives_the_published_sizes() {
        let strata = (0..80).flat_map(|n| {
            let gender = if n < 40 { "male" } else { "female" };
            [(format!("t{n}"), gender.to_owned()), (format!("s{n}"), gender.to_owned())]
        });
        let options = SplitOptions { strata: strata.collect(), ..Default::default() };
        let triplets = split(grid(80), &options, 1);
        let report = check(&triplets, &HashSet::new()).unwrap();
        let sizes: Vec<usize> = report.questions.values().copied().collect();
        assert_eq!(sizes, [3686, 410, 256, 1024, 1024], "train, val, i, ii, iii");
        assert_eq!((report.train_targets, report.train_sources), (64, 64));
        let held: HashSet<&str> =
            triplets.iter().filter(|t| t.split == Some(Split::Ii)).map(|t| t.target_id.as_str()).collect();
        assert_eq!(held.iter().filter(|t| t[1..].parse::<usize>().unwrap() < 40).count(), 8, "half of them men");
    }

    #[test]
    fn one_seed_gives_one_split_and_another_another() {
        let parts = |seed| draw(&grid(12), &SplitOptions::default(), Seed::new(seed)).unwrap();
        assert_eq!(parts(7), parts(7));
        assert_ne!(parts(7), parts(8));
    }

    #[test]
    fn known_sources_leave_only_new_targets_to_test() {
        let options = SplitOptions { scheme: Scheme::Targets, ..Default::default() };
        let report = check(&split(grid(10), &options, 3), &HashSet::new()).unwrap();
        assert_eq!(report.questions.get(&Split::Ii), Some(&20));
        assert_eq!((report.questions.get(&Split::I), report.questions.get(&Split::Iii)), (None, None));
    }

    #[test]
    fn questions_that_mix_pictures_of_two_parts_are_left_out() {
        let pictures = 40;
        let triplets = (0..2000).map(|n| {
            let mut question = question(n, n);
            let name = |k: usize| format!("{:02}.jpg", k % pictures);
            (question.reference, question.a, question.b) = (name(n), name(n * 7 + 1), name(n * 13 + 2));
            question.target_id = question.reference.clone();
            question
        });
        let triplets: Vec<_> = triplets.filter(|t| t.a != t.reference && t.b != t.reference && t.a != t.b).collect();
        let options = SplitOptions { scheme: Scheme::Pictures, test: 0.3, val: 0.3, ..Default::default() };
        let report = check(&split(triplets, &options, 5), &HashSet::new()).unwrap();
        assert!(report.unused > 0 && report.questions.len() == 3, "{report:?}");
    }

    #[test]
    fn pictures_known_in_advance_meet_new_references_in_the_test() {
        let mut next = 7usize;
        let mut draw = |below: usize| {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (next >> 33) % below
        };
        let triplets = (0..3000).map(|n| {
            let mut question = question(n, n);
            // 20 faces of a pool; 40 others.
            let name = |k: usize| if k < 20 { format!("pool/{k:02}.jpg") } else { format!("{k:02}.jpg") };
            (question.reference, question.a, question.b) = (name(draw(60)), name(draw(60)), name(draw(20)));
            (question.target_id, question.triplet_id) = (question.reference.clone(), format!("{n}"));
            question
        });
        let triplets: Vec<_> = triplets.filter(|t| t.a != t.reference && t.b != t.reference && t.a != t.b).collect();
        let known: HashSet<String> = (0..20).map(|k| format!("pool/{k:02}.jpg")).collect();
        let options = SplitOptions { scheme: Scheme::Pictures, known: known.clone(), ..Default::default() };
        let triplets = split(triplets, &options, 5);
        let report = check(&triplets, &known).unwrap();
        assert!(report.questions[&Split::Ii] > 50 && !report.questions.contains_key(&Split::I), "{report:?}");
        for question in triplets.iter().filter(|t| t.split == Some(Split::Ii)) {
            assert!(!known.contains(&question.reference) && known.contains(&question.a) && known.contains(&question.b));
        }
        assert!(check(&triplets, &HashSet::new()).is_err(), "without the pool the same pictures are a leak");
    }

    #[test]
    fn a_leak_is_named() {
        let clean = split(grid(10), &SplitOptions::default(), 1);
        let first = |part| clean.iter().position(|t| t.split == Some(part)).unwrap();
        for (part, other, want) in [
            (Split::Train, Split::I, "is in training too"),
            (Split::Ii, Split::Train, "is in training too"),
            (Split::I, Split::Ii, "is not in training"),
            (Split::I, Split::Iii, "is not in training"),
        ] {
            let mut leaky = clean.clone();
            leaky[first(part)].split = Some(other);
            let message = check(&leaky, &HashSet::new()).unwrap_err().to_string();
            assert!(message.contains(want), "{part} as {other}: {message}");
        }
        let mut leaky = clean.clone();
        leaky[first(Split::I)].a = clean[first(Split::Train)].b.clone();
        assert!(check(&leaky, &HashSet::new()).unwrap_err().to_string().contains("picture"));
    }

    #[test]
    fn an_empty_part_is_refused() {
        let message = draw(&grid(1), &SplitOptions::default(), Seed::new(1)).unwrap_err().to_string();
        assert!(message.contains("none falls into the part"), "{message}");
        let options = SplitOptions { test: 1.0, ..Default::default() };
        assert!(draw(&grid(4), &options, Seed::new(1)).is_err());
    }
}
