//! What is settled for a whole run before its first face is changed: everyone of the run, and who stands in for people
//! who are on several photos.
//!
//! By default one person gets one replacement: candidates are tried on up to [`SAMPLED`] of the person's photos, and the
//! one that hides most of them is wanted first on all. Unlinkable, no two faces that may be one person get the same:
//! each is searched in turn, without those that the others have. Both work on the photos as they were, so the outcome
//! depends neither on the order of photos nor on how many are worked on at once.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::anonymize::Timings;
use crate::originals::{FaceKey, Originals};
use crate::photo::Photo;
use crate::pool::{Group, PixelHash};
use crate::rank::Uses;
use crate::replace::{Attempt, Failure, Place, Replacer, Subject, Who, Wish};
use crate::same_person::Persons;

/// On how many photos of a person candidates are tried before one is wanted.
pub const SAMPLED: usize = 3;

/// What is settled.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    originals: Originals,
    persons: Persons,
    wishes: BTreeMap<FaceKey, Wish>,
    unlinkable: bool,
}

static NOTHING: Wish = Wish { person: None, group: None, who: Who::Anyone };

impl Settled {
    /// Nothing but who is in the run.
    pub fn nothing(originals: Originals) -> Self {
        Self { originals, ..Self::default() }
    }

    /// Everyone of the run.
    pub fn originals(&self) -> &Originals {
        &self.originals
    }

    /// Who is wanted in a face's place.
    pub fn wish(&self, key: FaceKey) -> &Wish {
        self.wishes.get(&key).unwrap_or(&NOTHING)
    }

    /// The number, from 1, of the person a face shows, if that person is on other photos too. Nobody has one in an
    /// unlinkable run.
    pub fn person(&self, key: FaceKey) -> Option<usize> {
        if self.unlinkable { None } else { self.persons.of(key).map(|place| place + 1) }
    }
}

/// Does a piece of work for each number below a count, in any order.
pub type SideBySide<'a> = dyn Fn(usize, &(dyn Fn(usize) + Sync)) + Sync + 'a;

/// Who may stand in for a person.
#[derive(Default)]
struct Shortlist {
    /// Places in the pool, best first.
    wanted: Vec<usize>,
    /// Faces that nobody hides.
    nobody: Vec<(FaceKey, Who)>,
}

/// What is known of the faces of a run.
pub struct Run<'a> {
    /// Replaces.
    pub replacer: &'a Replacer,
    /// Faces to be replaced, with the group each would get by itself.
    pub groups: BTreeMap<FaceKey, Group>,
    /// Places in the pool of those who may not stand in, by photo.
    pub barred: BTreeMap<PixelHash, BTreeSet<usize>>,
    /// Reads a photo again, with what is known of one of its faces; `None` if it is not as it was.
    pub load: &'a (dyn Fn(FaceKey) -> Option<(Photo, Subject)> + Sync),
    /// Does a piece of work for each number below a count, side by side.
    pub side_by_side: &'a SideBySide<'a>,
}

impl Run<'_> {
    /// Settle who stands in for whom, among `originals`.
    pub fn settle(&self, mut originals: Originals, unlinkable: bool) -> Settled {
        let thresholds: Vec<f32> = self.replacer.gates.iter().map(|gate| gate.same_person_cosine).collect();
        let left = originals.keys().iter().filter(|key| !self.groups.contains_key(key)).copied().collect();
        let persons = Persons::among(&originals, &thresholds, &left);
        originals.note_persons(persons.numbers().clone());
        let wishes = if unlinkable { self.apart(&originals, &persons) } else { self.together(&originals, &persons) };
        Settled { originals, persons, wishes, unlinkable }
    }

    /// One replacement for each person.
    fn together(&self, originals: &Originals, persons: &Persons) -> BTreeMap<FaceKey, Wish> {
        let shortlists = self.of_each(persons.faces(), |faces| self.shortlist(originals, faces));
        let on_photo = persons.faces().iter().enumerate().flat_map(|(n, faces)| faces.iter().map(move |f| (f.0, n)));
        let mut together: BTreeMap<PixelHash, Vec<usize>> = BTreeMap::new();
        on_photo.for_each(|(photo, person)| together.entry(photo).or_default().push(person));
        let mut chosen: Vec<Option<usize>> = vec![None; persons.len()];
        let mut wishes = BTreeMap::new();
        for (person, (faces, Shortlist { wanted, nobody })) in persons.faces().iter().zip(shortlists).enumerate() {
            let Some(&first) = faces.first() else { continue };
            // Two people on one photo should not get one face.
            let beside = faces.iter().filter_map(|face| together.get(&face.0)).flatten();
            let taken: BTreeSet<usize> = beside.filter_map(|other| *chosen.get(*other)?).collect();
            let free = wanted.iter().find(|index| !taken.contains(index)).or(wanted.first()).copied();
            if let Some(slot) = chosen.get_mut(person) {
                *slot = free;
            }
            let who = free.map_or(Who::Anyone, Who::First);
            let wish = Wish { person: Some(first), group: self.group(faces), who };
            wishes.extend(faces.iter().map(|face| (*face, wish.clone())));
            wishes.extend(nobody.into_iter().map(|(face, who)| (face, Wish { who, ..wish.clone() })));
        }
        wishes
    }

    /// Who hides as many as possible of a person's faces.
    fn shortlist(&self, originals: &Originals, faces: &[FaceKey]) -> Shortlist {
        let mut shortlist: Vec<usize> = Vec::new();
        let mut nobody = Vec::new();
        let steps = SAMPLED.min(faces.len());
        let places: BTreeSet<usize> = (0..steps).map(|n| n * (faces.len() - 1) / (steps - 1).max(1)).collect();
        for &face in places.iter().filter_map(|&place| faces.get(place)) {
            let who = if shortlist.is_empty() { Who::Several } else { Who::Among(shortlist.clone()) };
            let wish = Wish { person: faces.first().copied(), group: self.group(faces), who };
            let Some(attempt) = self.attempt(originals, face, &wish, &BTreeSet::new()) else { continue };
            let both: Vec<usize> = match shortlist.is_empty() {
                true => {
                    // All were tried: nothing is gained by trying them again.
                    if let Err(Failure(reason)) = attempt.outcome {
                        nobody.push((face, Who::Nobody { reason, tries: attempt.tries }));
                    }
                    attempt.passed
                }
                false => shortlist.iter().filter(|index| attempt.passed.contains(index)).copied().collect(),
            };
            if !both.is_empty() {
                shortlist = both;
            }
        }
        Shortlist { wanted: shortlist, nobody }
    }

    /// The group most of a person's faces would get; of equals the first one's or the one listed first.
    fn group(&self, faces: &[FaceKey]) -> Option<Group> {
        let groups: Vec<Group> = faces.iter().filter_map(|face| self.groups.get(face).copied()).collect();
        let mut counts: BTreeMap<Group, usize> = BTreeMap::new();
        groups.iter().for_each(|group| *counts.entry(*group).or_default() += 1);
        let most = counts.values().copied().max()?;
        groups.into_iter().find(|group| counts.get(group) == Some(&most))
    }

    /// Another replacement for each face of what may be one person.
    fn apart(&self, originals: &Originals, persons: &Persons) -> BTreeMap<FaceKey, Wish> {
        let families = persons.families();
        let wishes = self.of_each(&families, |family| {
            let mut used: BTreeMap<FaceKey, usize> = BTreeMap::new();
            let mut wishes = Vec::new();
            for &face in family {
                let barred: BTreeSet<usize> =
                    persons.alike_to(face).filter_map(|other| used.get(&other).copied()).collect();
                let attempt = self.attempt(originals, face, &NOTHING, &barred);
                let who = match attempt.map(|attempt| (attempt.outcome, attempt.tries)) {
                    Some((Ok(replaced), _)) => {
                        used.insert(face, replaced.candidate.index);
                        Who::Only(replaced.candidate.index)
                    }
                    Some((Err(Failure(reason)), tries)) if barred.is_empty() => Who::Nobody { reason, tries },
                    Some((Err(Failure(reason)), tries)) => {
                        Who::Nobody { reason: format!("{reason} ({IN_OTHER_PHOTOS})"), tries }
                    }
                    None => Who::Nobody { reason: NOT_TRIED.to_owned(), tries: 0 },
                };
                wishes.push((face, Wish { who, ..Wish::default() }));
            }
            wishes
        });
        wishes.into_iter().flatten().collect()
    }

    /// Try to replace one face of a photo as it was; `None` if that cannot be tried.
    fn attempt(&self, originals: &Originals, face: FaceKey, wish: &Wish, besides: &BTreeSet<usize>) -> Option<Attempt> {
        // What fails here fails again, and is told, when it is this photo's turn.
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let (photo, subject) = (self.load)(face)?;
            let mut barred = self.barred.get(&face.0).cloned().unwrap_or_default();
            barred.extend(besides);
            let uses = Uses::default();
            let place = Place { photo: face.0, index: face.1, uses: &uses, originals, wish, barred: &barred };
            self.replacer.replace(&photo.pixels, &subject, place, &mut Timings::default()).ok()
        }));
        tried.ok().flatten()
    }

    fn of_each<T: Send + Default>(&self, items: &[Vec<FaceKey>], work: impl Fn(&[FaceKey]) -> T + Sync) -> Vec<T> {
        let slots: Vec<Mutex<T>> = items.iter().map(|_| Mutex::default()).collect();
        (self.side_by_side)(items.len(), &|n| {
            if let (Some(item), Some(slot)) = (items.get(n), slots.get(n)) {
                let done = work(item);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = done;
            }
        });
        slots.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

/// Why somebody could not be used in an unlinkable run.
const IN_OTHER_PHOTOS: &str = "those who stand in for the same person in other photos are not used again";

/// Fails closed: whoever cannot be told apart is covered.
const NOT_TRIED: &str = "its photo could not be read a second time to keep it apart from the person's others";
