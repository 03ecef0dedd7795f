//! STEP 2: candidates of the chosen group, least similar first, and which of them to try.
//!
//! Always taking the least similar candidate can be guessed and uses a few faces over and over. By default the
//! candidates to try first are therefore drawn among the few least similar, by the run's seed, the photo and the
//! face: the same input gives the same result, in whatever order photos are worked on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::draw::{Seed, shuffle};
use crate::embedding::{Embedding, EmbeddingSet};
use crate::pool::{Group, Member, PixelHash};

/// Among how many of the least similar candidates the default draws.
pub const DEFAULT_BOTTOM: usize = 5;

/// A pool face that could replace the one in the photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Place in the pool's list.
    pub index: usize,
    /// Its id there.
    pub id: String,
    /// Cosine with the face in the photo, in `[-1, 1]`.
    pub cosine: f32,
}

/// The members of `group`, least similar to `query` first; equal ones in the order of the list.
///
/// `embeddings` holds the members' descriptors in their order; members beyond it are left out.
pub fn rank(query: &Embedding, members: &[Member], embeddings: &EmbeddingSet, group: Group) -> Vec<Candidate> {
    let cosines = embeddings.cosines(query);
    let mut ranked: Vec<Candidate> = members
        .iter()
        .zip(cosines)
        .enumerate()
        .filter(|(_, (member, _))| group.contains(member.gender, member.age_group))
        .map(|(index, (member, cosine))| Candidate { index, id: member.id.clone(), cosine })
        .collect();
    ranked.sort_by(|a, b| a.cosine.total_cmp(&b.cosine));
    ranked
}

/// Which candidate is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pick {
    /// The least similar, always, however often it was used: the published rule.
    Least,
    /// One drawn among the `bottom` least similar.
    Draw {
        /// Among how many; 0 counts as 1.
        bottom: usize,
    },
}

impl Default for Pick {
    fn default() -> Self {
        Self::Draw { bottom: DEFAULT_BOTTOM }
    }
}

/// How candidates are picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickOptions {
    /// The rule.
    pub pick: Pick,
    /// How many faces of one photo a drawn candidate may replace while the group has others; two people with one
    /// face are noticed. 0 counts as 1.
    pub max_reuse: usize,
}

impl Default for PickOptions {
    fn default() -> Self {
        Self { pick: Pick::default(), max_reuse: 1 }
    }
}

/// What a draw depends on.
#[derive(Clone, Copy, Debug)]
pub struct DrawKey {
    /// The run's secret.
    pub seed: Seed,
    /// The photo.
    pub photo: PixelHash,
    /// The face in the photo, in the detector's order.
    pub face: usize,
}

/// How often each candidate was used in one photo, by its place in the pool's list.
#[derive(Clone, Debug, Default)]
pub struct Uses(BTreeMap<usize, usize>);

impl Uses {
    /// Note that a candidate replaced a face.
    pub fn note(&mut self, candidate: &Candidate) {
        *self.0.entry(candidate.index).or_default() += 1;
    }

    /// How many faces of the photo it replaced so far.
    pub fn of(&self, candidate: &Candidate) -> usize {
        self.0.get(&candidate.index).copied().unwrap_or(0)
    }
}

/// All of `ranked` in the order in which to try them.
///
/// `ranked` is least similar first, as [`rank`] gives it. With [`Pick::Draw`] come the `bottom` least similar that are
/// below the cap in drawn order, then the others below the cap, least similar first; candidates at the cap come last,
/// those used least before the others.
pub fn order(ranked: &[Candidate], options: PickOptions, key: DrawKey, uses: &Uses) -> Vec<Candidate> {
    let Pick::Draw { bottom } = options.pick else {
        return ranked.to_vec();
    };
    // Where all are at the cap, those used least are the alternatives.
    let least_used = ranked.iter().map(|face| uses.of(face)).min().unwrap_or(0);
    let cap = options.max_reuse.max(least_used + 1);
    let (mut free, mut used): (Vec<_>, Vec<_>) = ranked.iter().cloned().partition(|face| uses.of(face) < cap);
    let bottom = bottom.max(1).min(free.len());
    if let Some(drawn) = free.get_mut(..bottom) {
        let face = (key.face as u64).to_le_bytes();
        shuffle(&mut key.seed.keyed("candidate", &[&key.photo.0, &face]), drawn);
    }
    used.sort_by_key(|face| uses.of(face));
    free.append(&mut used);
    free
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::pool::{AgeGroup, Gender, LabelSource};

    fn candidates(n: usize) -> Vec<Candidate> {
        (0..n).map(|index| Candidate { index, id: format!("c{index}"), cosine: index as f32 / 100.0 }).collect()
    }

    fn key(photo: u8, face: usize) -> DrawKey {
        DrawKey { seed: Seed::new(42), photo: PixelHash([photo; 32]), face }
    }

    fn first(ranked: &[Candidate], options: PickOptions, key: DrawKey) -> usize {
        order(ranked, options, key, &Uses::default())[0].index
    }

    fn member(id: &str, gender: Gender) -> Member {
        Member {
            id: id.to_owned(),
            file: format!("{id}.png"),
            gender,
            age_group: AgeGroup::Young,
            label_source: LabelSource::Csv,
            source: String::new(),
            licence: String::new(),
            attribution: String::new(),
            contributors: Vec::new(),
            other: Vec::new(),
        }
    }

    #[test]
    fn the_group_is_ranked_from_least_to_most_similar() {
        let members = [("a", Gender::Male), ("b", Gender::Female), ("c", Gender::Male), ("d", Gender::Male)];
        let members = members.map(|(id, gender)| member(id, gender));
        let rows = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.1], [1.0, 1.0]].map(|raw| Embedding::from_raw(&raw).unwrap());
        let set = EmbeddingSet::from_rows(&rows).unwrap();
        let ranked = rank(&rows[0], &members, &set, Group::YoungMale);
        let ids: Vec<&str> = ranked.iter().map(|candidate| candidate.id.as_str()).collect();
        assert_eq!(ids, ["c", "d", "a"]);
        assert_eq!(ranked[2], Candidate { index: 0, id: "a".to_owned(), cosine: 1.0 });
        assert_eq!(rank(&rows[0], &members, &set, Group::Young).len(), 4);
        assert!(rank(&rows[0], &members, &set, Group::Older).is_empty());
    }

    #[test]
    fn least_is_the_ranking_itself() {
        let ranked = candidates(9);
        let options = PickOptions { pick: Pick::Least, ..Default::default() };
        let mut uses = Uses::default();
        uses.note(&ranked[0]);
        assert_eq!(order(&ranked, options, key(1, 0), &uses), ranked);
    }

    #[test]
    fn each_of_the_bottom_five_comes_first_equally_often() {
        let ranked = candidates(20);
        let mut counts = [0usize; 20];
        for photo in 0..100 {
            for face in 0..50 {
                counts[first(&ranked, PickOptions::default(), key(photo, face))] += 1;
            }
        }
        // 5000 draws: mean 1000, five standard deviations 142.
        assert!(counts[..5].iter().all(|count| count.abs_diff(1000) < 142), "{counts:?}");
        assert_eq!(counts[5..].iter().sum::<usize>(), 0);
    }

    #[test]
    fn the_same_face_gets_the_same_order_and_another_seed_another() {
        let ranked = candidates(20);
        let orders = |seed: u128| -> Vec<usize> {
            (0..20)
                .map(|face| first(&ranked, PickOptions::default(), DrawKey { seed: Seed::new(seed), ..key(1, face) }))
                .collect()
        };
        assert_eq!(orders(1), orders(1));
        assert_ne!(orders(1), orders(2));
    }

    #[test]
    fn the_drawn_come_first_and_then_the_rest_least_similar_first() {
        let tried = order(&candidates(9), PickOptions::default(), key(3, 0), &Uses::default());
        let indices: Vec<usize> = tried.iter().map(|candidate| candidate.index).collect();
        assert_eq!(indices[..5].iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2, 3, 4]));
        assert_eq!(indices[5..], [5, 6, 7, 8]);
    }

    #[test]
    fn no_candidate_is_used_twice_in_a_photo_while_others_are_left() {
        let ranked = candidates(7);
        let mut uses = Uses::default();
        let mut seen = BTreeSet::new();
        for face in 0..7 {
            let chosen = order(&ranked, PickOptions::default(), key(5, face), &uses).remove(0);
            assert!(seen.insert(chosen.index), "{} again", chosen.id);
            uses.note(&chosen);
        }
        let eighth = order(&ranked, PickOptions::default(), key(5, 7), &uses);
        assert_eq!(eighth.len(), 7, "when all are used, all may be used again");
        assert!(eighth[0].index < DEFAULT_BOTTOM);
    }

    #[test]
    fn a_cap_of_two_allows_a_second_use() {
        let ranked = candidates(1);
        let options = PickOptions { max_reuse: 2, ..Default::default() };
        let mut uses = Uses::default();
        uses.note(&ranked[0]);
        assert_eq!(order(&ranked, options, key(0, 0), &uses)[0].index, 0);
        assert!(order(&[], options, key(0, 0), &uses).is_empty());
    }

    #[test]
    fn a_key_does_not_show_its_seed() {
        assert!(!format!("{:?}", key(0, 0)).contains("42)"));
        assert!(format!("{:?}", key(0, 0)).contains("hidden"));
    }
}
