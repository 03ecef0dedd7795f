//! Replace one face: choose its group, try candidates, and keep the result that hides best and looks right.
//!
//! Each result is looked at as a stranger would: the face is found anew in it, aligned anew and embedded anew by every
//! recogniser. A result is refused in which no face is found, which a recogniser still takes for the original, or which
//! leads to its own original first among all of the run. Of `rerank` tries the best is kept; the first that is
//! clearly good ends the search. Where nobody of the group hides the face, those who came nearest are tried again with their shape
//! exaggerated, and then the other age group of the same gender. Large faces are tried at a smaller size; what is kept is made again at full size and
//! must pass again.

mod part;
mod scene;
pub mod score;
mod tried;
mod wish;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use image::RgbImage;
use serde::Serialize;

use crate::align::AlignedFace;
use crate::anonymize::Timings;
use crate::attribute::{AttributeReader, Attributes};
use crate::candidates::Candidates;
use crate::cover;
use crate::detect::{Detector, Face};
use crate::draw::Seed;
use crate::embed::Embedder;
use crate::embedding::Embedding;
use crate::error::Result;
use crate::geometry::Rect;
use crate::group::{GroupBy, GroupChoice, GroupDistance, GroupSet, nearest_group};
use crate::mesh::Mesher;
use crate::natural::{ByTone, Natural};
use crate::originals::{FaceKey, Lineup, Originals};
use crate::pool::{AgeGroup, Group, PixelHash};
use crate::rank::{self, DrawKey, PickOptions, Uses};
use crate::swap::tone::{edge_step, skin_tone};
use crate::swap::{Manner, Material, Prepared, Swap, Swapper};
use part::Part;
use scene::Scene;
use score::{Looks, Score, landmarks_error};
use tried::{Again, Trial, Tried, worth_trying};
use wish::{Order, Round};
pub use wish::{Who, Wish};

/// How faces are replaced.
#[derive(Clone, Debug)]
pub struct ReplaceOptions {
    /// Secret of all draws.
    pub seed: Seed,
    /// What the distance to a group is.
    pub group_distance: GroupDistance,
    /// Which groups are compared.
    pub group_set: GroupSet,
    /// What decides the group; `Auto` must have been resolved.
    pub group_by: GroupBy,
    /// Which candidates are tried first.
    pub pick: PickOptions,
    /// Most tries of one face. Half of what is left goes to each search in turn: the usual shape, exaggerated shapes, the
    /// other age group, that one exaggerated.
    pub tries: usize,
    /// Among how many tries the best result is kept; 1 takes the first that is hidden.
    pub rerank: usize,
    /// How much naturalness is asked.
    pub natural: Natural,
    /// Whether results of one person must not share a candidate; otherwise they do where it hides them.
    pub unlinkable: bool,
}

/// The default of [`ReplaceOptions::tries`].
pub const DEFAULT_TRIES: usize = 48;

/// The default of [`ReplaceOptions::rerank`].
pub const DEFAULT_RERANK: usize = 12;

/// Results embedded at once.
const BATCH: usize = 2;

/// A recogniser that a result must get past.
#[derive(Clone)]
pub struct Gate {
    /// The network.
    pub embedder: Embedder,
    /// Cosine from which it takes two faces for one person.
    pub same_person_cosine: f32,
}

/// Everything needed to replace faces.
pub struct Replacer {
    /// Finds faces again in results.
    pub detector: Detector,
    /// Lays meshes over the faces to replace.
    pub mesher: Mesher,
    /// Builds the new face.
    pub swapper: Arc<dyn Swapper>,
    /// Recognisers a result must get past; the first one also chooses groups and ranks candidates.
    pub gates: Vec<Gate>,
    /// Apparent gender and age, where the networks are there.
    pub attributes: Option<AttributeReader>,
    /// Who may stand in.
    pub candidates: Candidates,
    /// How.
    pub options: ReplaceOptions,
}

/// What is known of a face before it is replaced.
#[derive(Clone, Debug)]
pub struct Subject {
    /// As detected.
    pub face: Face,
    /// Apparent gender and age.
    pub attributes: Option<Attributes>,
    /// One embedding for each gate, in their order.
    pub embeddings: Vec<Embedding>,
    /// How far the groups are, if similarity was asked.
    pub choice: Option<GroupChoice>,
    /// The group candidates come from.
    pub group: Group,
}

/// Where a face stands in its photo and its run.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The photo, as it was.
    pub photo: PixelHash,
    /// The face's place in it, in the detector's order.
    pub index: usize,
    /// Who stands in for others in this photo already.
    pub uses: &'a Uses,
    /// Everyone of the run.
    pub originals: &'a Originals,
    /// What draws and group depend on, and who is wanted.
    pub wish: &'a Wish,
    /// Places in the pool of those who may not stand in here.
    pub barred: &'a BTreeSet<usize>,
}

impl Place<'_> {
    fn key(&self) -> FaceKey {
        (self.photo, self.index)
    }
}

/// A face that was replaced.
pub struct Replaced {
    /// The new face.
    pub swap: Swap,
    /// Who stands in.
    pub candidate: rank::Candidate,
    /// What was measured of the result, at full size.
    pub score: Score,
    /// Skin tone of the candidate, in degrees of ITA.
    pub candidate_ita_deg: Option<f32>,
    /// Whether the candidate's skin tone fits.
    pub fits: bool,
    /// How it was chosen, in words.
    pub chosen_by: String,
}

/// What came of trying to replace a face.
pub struct Attempt {
    /// The new face, or why there is none.
    pub outcome: Result<Replaced, Failure>,
    /// Candidates tried.
    pub tries: usize,
    /// The chosen group, least similar first.
    pub ranked: Vec<rank::Candidate>,
    /// Skin tone of the face in its photo, in degrees of ITA.
    pub ita_deg: Option<f32>,
    /// How many of the group were set aside because their skin tone does not fit.
    pub unfitting: usize,
    /// Places in the pool of those who passed at the size for trials, best first.
    pub passed: Vec<usize>,
}

impl Attempt {
    fn failed(reason: &str) -> Self {
        let outcome = Err(Failure(reason.to_owned()));
        Self { outcome, tries: 0, ranked: Vec::new(), ita_deg: None, unfitting: 0, passed: Vec::new() }
    }
}

/// Why a face was not replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure(pub String);

/// A result with a face in it.
struct Seen {
    swap: Swap,
    candidate: rank::Candidate,
    material: Arc<Material>,
    /// The part of the photo it is in, and where it was found there.
    after: Part,
    found: Face,
    looks: Looks,
}

impl Replacer {
    /// Read a face of `photo`: embeddings, gender and age, group. `Err` in the result says why it cannot be replaced.
    ///
    /// # Errors
    /// If a network fails.
    pub fn read(&self, photo: &RgbImage, face: &Face, timings: &mut Timings) -> Result<Result<Subject, Failure>> {
        let attributes = match &self.attributes {
            Some(reader) => Some(timings.time("gender and age", || reader.read(photo, face))?),
            None => None,
        };
        if attributes.is_some_and(|a| a.may_be_minor()) {
            return Ok(Err(Failure("may be under 18, and the pool has no such group".to_owned())));
        }
        let Some(embeddings) = timings.time("embed", || self.embed(photo, face))? else {
            return Ok(Err(Failure("the landmarks coincide".to_owned())));
        };
        let Some(first) = embeddings.first() else {
            return Ok(Err(Failure("no recogniser is loaded".to_owned())));
        };
        let options = &self.options;
        let choice = timings.time("group", || {
            nearest_group(first, self.candidates.gallery(), options.group_distance, options.group_set)
        });
        let group = match (options.group_by, attributes, &choice) {
            (GroupBy::Classifier, Some(a), _) => Group::of(a.gender(), a.age_group()),
            (_, _, Some(choice)) => choice.chosen,
            _ => return Ok(Err(Failure("the pool has no faces".to_owned()))),
        };
        Ok(Ok(Subject { face: face.clone(), attributes, embeddings, choice, group }))
    }

    /// Try candidates for `subject` in `photo`, in which earlier faces may have been replaced already.
    ///
    /// # Errors
    /// If a network fails.
    pub fn replace(&self, photo: &RgbImage, subject: &Subject, place: Place, timings: &mut Timings) -> Result<Attempt> {
        let options = &self.options;
        if let Who::Nobody { reason, tries } = &place.wish.who {
            return Ok(Attempt { tries: *tries, ..Attempt::failed(reason) });
        }
        let Some(mesh) = timings.time("mesh", || self.mesher.mesh(photo, &subject.face))? else {
            return Ok(Attempt::failed("no face mesh could be laid"));
        };
        let Some(query) = subject.embeddings.first() else {
            return Ok(Attempt::failed("no recogniser is loaded"));
        };
        let own_group = place.wish.group.unwrap_or(subject.group);
        let ita_deg = timings.time("tone", || skin_tone(photo, &mesh)).map(|tone| tone.ita_deg);
        let small = timings.time("shrink", || Scene::small(photo, &mesh, &subject.face));
        let whole = Scene::whole(photo, &mesh, &subject.face);
        let scene = small.as_ref().unwrap_or(&whole);
        let lineup = self.lineup(subject, place.key(), place.originals);
        let mut attempt = Attempt { ita_deg, ..Attempt::failed(&format!("the pool has no {own_group} faces")) };
        let mut prepared = None;
        for group in self.groups(own_group, place.wish) {
            let mut ranked = self.ranked(query, group);
            if ranked.is_empty() {
                continue;
            }
            ranked.retain(|candidate| !place.barred.contains(&candidate.index));
            if ranked.is_empty() {
                if attempt.tries == 0 {
                    attempt.outcome = Err(Failure(format!("none of the pool's {group} faces may stand in here")));
                }
                continue;
            }
            let tone_of = |candidate: &rank::Candidate| Some(self.candidates.material(candidate.index)?.tone?.ita_deg);
            let by_tone = timings.time("candidate", || ByTone::of(&ranked, ita_deg, options.natural, tone_of));
            if group == own_group || attempt.ranked.is_empty() {
                (attempt.ranked, attempt.unfitting) = (ranked, by_tone.others.len());
            }
            let (photo_of, face_of) = place.wish.person.unwrap_or(place.key());
            let key = DrawKey { seed: options.seed, photo: photo_of, face: face_of };
            let mut order = rank::order(&by_tone.fitting, options.pick, key, place.uses);
            let fitting = order.len();
            if options.natural != Natural::Strict {
                order.extend(by_tone.others);
            } else if fitting == 0 {
                attempt.outcome = Err(Failure("nobody of this group has a near skin tone".to_owned()));
                continue;
            }
            if prepared.is_none() {
                prepared = match timings.time("swap", || self.swapper.prepare(scene.target())) {
                    Ok(ready) => Some(ready),
                    Err(refusal) => {
                        attempt.outcome = Err(Failure(refusal.to_string()));
                        return Ok(attempt);
                    }
                };
            }
            let Some(ready) = &prepared else { continue };
            let Round { rounds, thorough } = place.wish.rounds(Order { candidates: order, fitting }, place.uses);
            let mut search =
                Search { scene, ready: ready.as_ref(), subject, lineup: &lineup, manner: Manner::Usual, thorough };
            let mut rounds: VecDeque<Order> = rounds.into();
            let allowed = |manner: &Manner| options.natural != Natural::Strict || !manner.exchanges_glasses();
            let mut further = ready.further().iter().copied().filter(allowed);
            let mut again = Again::default();
            while let Some(round) = rounds.pop_front().filter(|round| !round.candidates.is_empty()) {
                let left = options.tries.max(1).saturating_sub(attempt.tries);
                let most = left.div_ceil(2).max(options.rerank.min(left));
                if most == 0 {
                    return Ok(attempt);
                }
                let mut tried = self.try_all(&search, round, most, timings)?;
                let before = attempt.tries;
                attempt.tries += tried.count;
                again.refused.append(&mut tried.again.refused);
                again.untried.append(&mut tried.again.untried);
                match self.best(tried, &search, small.is_some().then_some(&whole), &mut attempt.passed, timings)? {
                    Ok(best) => {
                        let named = place.wish.is_first(best.trial.candidate.index);
                        let own = group == own_group;
                        let fits = by_tone.fitting.iter().any(|c| c.index == best.trial.candidate.index);
                        let mut chosen_by = match best.ended_early {
                            _ if named => "as on the person's other photos".to_owned(),
                            true => format!("clearly good, number {} of at most {}", best.tried, options.rerank.max(1)),
                            false => format!("best of {} that passed, {} tried", best.passed, before + best.tried),
                        };
                        chosen_by += match search.manner {
                            Manner::Usual => "",
                            Manner::Farther => "; with an exaggerated shape, as the usual one does not hide the face",
                            Manner::OtherGlasses => "; with other glasses, as their own tell who it is",
                            Manner::BoldGlasses => "; with other glasses of bold rims, as their own tell who it is",
                        };
                        if !own {
                            chosen_by += &format!("; from {group}, as nobody of {own_group} hides the face");
                        }
                        attempt.outcome = Ok(Replaced {
                            fits,
                            candidate_ita_deg: best.trial.material.tone.map(|tone| tone.ita_deg),
                            swap: best.trial.swap,
                            candidate: best.trial.candidate,
                            score: best.trial.score,
                            chosen_by,
                        });
                        return Ok(attempt);
                    }
                    Err(failure) => attempt.outcome = Err(failure),
                }
                if rounds.is_empty()
                    && let Some(manner) = further.next()
                {
                    search.manner = manner;
                    let candidates = worth_trying(&again, manner, options.natural);
                    rounds.push_back(Order { fitting: candidates.len(), candidates });
                }
            }
        }
        Ok(attempt)
    }

    fn ranked(&self, query: &Embedding, group: Group) -> Vec<rank::Candidate> {
        rank::rank(query, self.candidates.pool().members(), self.candidates.gallery().embeddings(), group)
    }

    /// The groups to search, in order. Who stands in on the person's other photos comes first, whatever the age.
    fn groups(&self, own: Group, wish: &Wish) -> Vec<Group> {
        let mut groups = groups(own, self.options.natural);
        if let Who::First(wanted) = wish.who
            && let Some(member) = self.candidates.pool().members().get(wanted)
        {
            groups.sort_by_key(|group| !group.contains(member.gender, member.age_group));
        }
        groups
    }

    /// The best of what passed on the scene, made again at full size if that is another. Everybody who passed is noted.
    fn best(
        &self,
        mut tried: Tried,
        search: &Search,
        whole: Option<&Scene>,
        noted: &mut Vec<usize>,
        timings: &mut Timings,
    ) -> Result<Result<Best, Failure>> {
        let natural = self.options.natural;
        // Least cost first; of equals the one tried first, whose order is drawn.
        tried.good.sort_by(|a, b| a.score.cost(natural).total_cmp(&b.score.cost(natural)));
        noted.extend(tried.good.iter().map(|trial| trial.candidate.index));
        let passed = tried.good.len();
        for trial in tried.good {
            let trial = match whole {
                None => trial,
                Some(whole) => match self.again(whole, search, trial, timings)? {
                    Ok(trial) => trial,
                    Err(reason) => {
                        tried.failure = reason;
                        continue;
                    }
                },
            };
            return Ok(Ok(Best { trial, passed, tried: tried.count, ended_early: tried.ended_early }));
        }
        Ok(Err(Failure(tried.failure)))
    }

    /// The embedding of `face` by every gate; `None` if its landmarks coincide.
    fn embed(&self, photo: &RgbImage, face: &Face) -> Result<Option<Vec<Embedding>>> {
        self.gates.iter().map(|gate| gate.embedder.embed_face(photo, face)).collect()
    }

    fn lineup<'a>(&self, subject: &Subject, key: FaceKey, originals: &'a Originals) -> Lineup<'a> {
        let thresholds: Vec<f32> = self.gates.iter().map(|gate| gate.same_person_cosine).collect();
        originals.lineup(key, &subject.embeddings, &thresholds)
    }

    /// Try at most `most` of `order`: the first `fitting` are wanted, the rest only if none of those will do.
    fn try_all(&self, search: &Search, order: Order, most: usize, timings: &mut Timings) -> Result<Tried> {
        let Order { candidates, fitting } = order;
        let options = &self.options;
        let mut tried = Tried::default();
        let mut batch = Vec::with_capacity(BATCH);
        let mut order = candidates.into_iter().take(most).peekable();
        while let Some(candidate) = order.next() {
            tried.count += 1;
            if let Some(material) = timings.time("candidate", || self.candidates.material(candidate.index)) {
                match timings.time("swap", || search.ready.swap(&material, search.manner)) {
                    // What looks wrong is not worth embedding.
                    Ok(swap) => {
                        match self.look_again(search.manner, search.scene, swap, candidate, material, timings)? {
                            Some(seen) => match seen.looks.unfit(options.natural) {
                                Some(unfit) => tried.failure = unfit.to_string(),
                                None => batch.push(seen),
                            },
                            None => tried.failure = NO_FACE.to_owned(),
                        }
                    }
                    Err(refusal) => {
                        tried.failure = refusal.to_string();
                        if refusal.is_about_target() {
                            break;
                        }
                    }
                }
            }
            let enough = tried.count >= options.rerank || tried.count >= fitting;
            if batch.len() < BATCH && order.peek().is_some() && !enough {
                continue;
            }
            tried.take(self.score(std::mem::take(&mut batch), search, timings)?, options.natural, search.thorough);
            if tried.ended_early || (enough && !tried.good.is_empty()) || tried.is_hopeless() {
                tried.again.untried.extend(order);
                break;
            }
        }
        tried.take(self.score(batch, search, timings)?, options.natural, search.thorough);
        Ok(tried)
    }

    /// The result as a stranger finds it; `None` if no face is where it was.
    fn look_again(
        &self,
        manner: Manner,
        scene: &Scene,
        swap: Swap,
        candidate: rank::Candidate,
        material: Arc<Material>,
        timings: &mut Timings,
    ) -> Result<Option<Seen>> {
        let after = scene.part().pasted(&swap);
        let Some(found) = timings.time("find again", || after.find_again(&self.detector, scene.face()))? else {
            return Ok(None);
        };
        let looks = Looks {
            landmarks_error: landmarks_error(&scene.part().face(scene.face()), &found),
            exaggerated: manner.is_exaggerated(),
            tone_step: timings.time("tone", || edge_step(&scene.part().pixels, &after.pixels, &scene.mesh_in_part())),
        };
        Ok(Some(Seen { swap, candidate, material, after, found, looks }))
    }

    /// Embeds results anew by every gate.
    fn score(&self, seen: Vec<Seen>, search: &Search, timings: &mut Timings) -> Result<Vec<Trial>> {
        let (subject, lineup) = (search.subject, search.lineup);
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        // A result that one gate refuses is not shown to the next.
        let mut results: Vec<Vec<Embedding>> = seen.iter().map(|_| Vec::with_capacity(self.gates.len())).collect();
        let mut standing: Vec<usize> = (0..seen.len()).collect();
        for gate in &self.gates {
            let align = |n: &usize| {
                let seen = seen.get(*n)?;
                Some((*n, gate.embedder.align(&seen.after.pixels, &seen.found)?))
            };
            let (aligned_of, aligned): (Vec<usize>, Vec<AlignedFace>) = standing.iter().filter_map(align).unzip();
            let embeddings = timings.time("embed result", || gate.embedder.embed(&aligned))?;
            standing = aligned_of;
            for (&n, embedding) in standing.iter().zip(embeddings) {
                if let Some(results) = results.get_mut(n) {
                    results.push(embedding);
                }
            }
            standing.retain(|&n| results.get(n).is_some_and(|so_far| self.refused(so_far, subject, lineup).is_none()));
        }
        let trial = |(seen, results): (Seen, Vec<Embedding>)| {
            let results: Vec<&Embedding> = results.iter().collect();
            let score = Score { looks: seen.looks, ..self.scored(&results, subject, lineup) };
            Trial { swap: seen.swap, candidate: seen.candidate, material: seen.material, score }
        };
        Ok(seen.into_iter().zip(results).map(trial).collect())
    }

    /// Whether one of the gates that answered so far refuses.
    fn refused(&self, results: &[Embedding], subject: &Subject, lineup: &Lineup) -> Option<score::Unfit> {
        let pairs = || results.iter().zip(&subject.embeddings).map(|(a, b)| a.cosine(b));
        let known = pairs().zip(&self.gates).any(|(cosine, gate)| cosine >= gate.same_person_cosine);
        let mut standings = results.iter().zip(pairs()).enumerate();
        if known {
            return Some(score::Unfit::SamePerson);
        }
        let first =
            standings.any(|(gate, (result, own))| lineup.standing(gate, result, own).is_some_and(|s| s.lead >= 0.0));
        first.then_some(score::Unfit::FoundFirst)
    }

    /// What the gates say of a result; how it looks is not known yet.
    fn scored(&self, results: &[&Embedding], subject: &Subject, lineup: &Lineup) -> Score {
        let similarities: Vec<f32> = results.iter().zip(&subject.embeddings).map(|(a, b)| a.cosine(b)).collect();
        let margins = similarities.iter().zip(&self.gates).map(|(cosine, gate)| cosine - gate.same_person_cosine);
        let margin = margins.fold(f32::NEG_INFINITY, f32::max);
        let standings = results.iter().zip(&similarities).enumerate();
        let standings = standings.map(|(gate, (result, own))| lineup.standing(gate, result, *own)).collect();
        let answered = results.len().min(subject.embeddings.len());
        Score {
            answered_by_all: answered == self.gates.len(),
            similarities,
            margin,
            standings,
            looks: Looks::default(),
        }
    }

    /// What passed at a smaller size, made and looked at again at full size.
    fn again(
        &self,
        whole: &Scene,
        search: &Search,
        trial: Trial,
        timings: &mut Timings,
    ) -> Result<Result<Trial, String>> {
        let Trial { candidate, material, .. } = trial;
        let swap = timings.time("swap", || self.swapper.prepare(whole.target())?.swap(&material, search.manner));
        let swap = match swap {
            Ok(swap) => swap,
            Err(refusal) => return Ok(Err(refusal.to_string())),
        };
        let Some(seen) = self.look_again(search.manner, whole, swap, candidate, material, timings)? else {
            return Ok(Err(NO_FACE.to_owned()));
        };
        let trials = self.score(vec![seen], search, timings)?;
        let Some(trial) = trials.into_iter().next() else { return Ok(Err(NO_FACE.to_owned())) };
        Ok(match trial.score.unfit(self.options.natural) {
            Some(unfit) => Err(unfit.to_string()),
            None => Ok(trial),
        })
    }

    /// Why a face as it stands in the finished photo does not hide `subject`, if so. A face that is not found there
    /// is hidden.
    ///
    /// # Errors
    /// If a network fails.
    pub fn check_finished(
        &self,
        photo: &RgbImage,
        subject: &Subject,
        key: FaceKey,
        originals: &Originals,
        timings: &mut Timings,
    ) -> Result<Option<score::Unfit>> {
        let part = Part::around(photo, subject.face.box_px);
        let Some(found) = timings.time("find again", || part.find_again(&self.detector, &subject.face))? else {
            return Ok(None);
        };
        let results = timings.time("embed result", || self.embed(&part.pixels, &found))?;
        let Some(results) = results else { return Ok(None) };
        let lineup = self.lineup(subject, key, originals);
        Ok(self.scored(&results.iter().collect::<Vec<_>>(), subject, &lineup).unfit(Natural::Off))
    }

    /// Why `found`, a face of the photo as it was written, does not hide `subject`, if so.
    ///
    /// # Errors
    /// If a network fails.
    pub fn check_written(
        &self,
        written: &RgbImage,
        found: &Face,
        subject: &Subject,
        key: FaceKey,
        originals: &Originals,
    ) -> Result<Option<score::Unfit>> {
        let Some(results) = self.embed(written, found)? else { return Ok(None) };
        let lineup = self.lineup(subject, key, originals);
        Ok(self.scored(&results.iter().collect::<Vec<_>>(), subject, &lineup).unhidden())
    }
}

/// A result in which the detector finds no face is no face to people either.
const NO_FACE: &str = "no face was found in the result";

/// One way to look for a face that hides a person.
struct Search<'a> {
    scene: &'a Scene<'a>,
    ready: &'a dyn Prepared,
    subject: &'a Subject,
    lineup: &'a Lineup<'a>,
    manner: Manner,
    /// Whether to go on past a clearly good result.
    thorough: bool,
}

/// What is kept of a search.
struct Best {
    trial: Trial,
    /// How many passed.
    passed: usize,
    /// How many were tried.
    tried: usize,
    ended_early: bool,
}

/// The groups a face may be replaced from: its own; then the other age of the same gender, unless near looks are insisted
/// on. Never the other gender.
fn groups(own: Group, natural: Natural) -> Vec<Group> {
    let mut groups = vec![own];
    // Groups of one gender and all ages, or one age and both genders, hold everybody there is to turn to.
    if let (Some(gender), Some(age)) = (own.gender(), own.age_group())
        && natural != Natural::Strict
    {
        let other = if age == AgeGroup::Young { AgeGroup::Older } else { AgeGroup::Young };
        groups.push(Group::of(gender, other));
    }
    groups
}

/// Whether what was done to one face reaches into another's head box.
pub fn reaches(changed: &Rect, face: &Face) -> bool {
    changed.intersection(&cover::head_box(face)).area() > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_replaced_from_its_own_group_or_the_other_age_and_never_across_gender() {
        assert_eq!(groups(Group::OlderFemale, Natural::Normal), [Group::OlderFemale, Group::YoungFemale]);
        assert_eq!(groups(Group::YoungMale, Natural::Off), [Group::YoungMale, Group::OlderMale]);
        assert_eq!(groups(Group::YoungMale, Natural::Strict), [Group::YoungMale]);
        assert_eq!(groups(Group::Male, Natural::Normal), [Group::Male]);
    }
}
