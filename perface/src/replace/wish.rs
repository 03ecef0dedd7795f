//! Who is wanted in a face's place, where that depends on the person's other photos.

use crate::originals::FaceKey;
use crate::pool::Group;
use crate::rank::{Candidate, Uses};

/// What the rest of a run asks of one face's replacement. The default asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The person's first face in the run, which draws depend on instead of this one.
    pub person: Option<FaceKey>,
    /// The group candidates come from instead of the one this face alone would get.
    pub group: Option<Group>,
    /// Who is wanted.
    pub who: Who,
}

/// Who is wanted; numbers are places in the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// Whoever hides the face and looks right.
    #[default]
    Anyone,
    /// The same, but try as many as the search may, even after a clearly good one.
    Several,
    /// Try these, and nobody else.
    Among(Vec<usize>),
    /// This one, if that hides the face; otherwise anyone.
    First(usize),
    /// This one or nobody.
    Only(usize),
    /// Nobody, for this reason: the face was tried with all.
    Nobody {
        /// In words.
        reason: String,
        /// Candidates tried.
        tries: usize,
    },
}

/// Candidates to try, in order.
pub(super) struct Order {
    pub candidates: Vec<Candidate>,
    /// How many of the first are wanted; the others are tried only if none of those will do.
    pub fitting: usize,
}

/// Searches to make, each only if the one before found nobody.
pub(super) struct Round {
    pub rounds: Vec<Order>,
    /// Whether to go on past a clearly good result.
    pub thorough: bool,
}

impl Wish {
    /// Whether `index` is the one wanted first.
    pub(super) fn is_first(&self, index: usize) -> bool {
        self.who == Who::First(index)
    }

    /// What to search, where `order` is what this face alone would be tried with. Somebody wanted first is not, where he or
    /// she stands in for another face of the same photo already: two people with one face are noticed.
    pub(super) fn rounds(&self, order: Order, uses: &Uses) -> Round {
        let named = |wanted: &[usize]| {
            let of = |index: &usize| order.candidates.iter().find(|c| c.index == *index).cloned();
            let candidates: Vec<Candidate> = wanted.iter().filter_map(of).collect();
            Order { fitting: candidates.len(), candidates }
        };
        let (rounds, thorough) = match &self.who {
            Who::Anyone => (vec![order], false),
            Who::Several => (vec![order], true),
            Who::Among(wanted) => (vec![named(wanted)], true),
            Who::Only(wanted) => (vec![named(&[*wanted])], false),
            Who::Nobody { .. } => (Vec::new(), false),
            Who::First(wanted) => {
                let first = named(&[*wanted]);
                match first.candidates.first() {
                    Some(candidate) if uses.of(candidate) == 0 => {
                        let place = order.candidates.iter().position(|c| c.index == *wanted);
                        let fitting = order.fitting - usize::from(place.is_some_and(|place| place < order.fitting));
                        let rest = order.candidates.into_iter().filter(|c| c.index != *wanted).collect();
                        (vec![first, Order { candidates: rest, fitting }], false)
                    }
                    _ => (vec![order], false),
                }
            }
        };
        Round { rounds, thorough }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let candidates = (0..5).map(|index| Candidate { index, id: format!("c{index}"), cosine: 0.1 }).collect();
        Order { candidates, fitting: 3 }
    }

    fn rounds(who: Who, uses: &Uses) -> Vec<(Vec<usize>, usize)> {
        let wish = Wish { who, ..Wish::default() };
        let indices = |order: Order| (order.candidates.iter().map(|c| c.index).collect(), order.fitting);
        wish.rounds(order(), uses).rounds.into_iter().map(indices).collect()
    }

    #[test]
    fn the_one_wanted_comes_first_and_the_others_only_after_that() {
        let uses = Uses::default();
        assert_eq!(rounds(Who::Anyone, &uses), [(vec![0, 1, 2, 3, 4], 3)]);
        assert_eq!(rounds(Who::First(1), &uses), [(vec![1], 1), (vec![0, 2, 3, 4], 2)]);
        assert_eq!(rounds(Who::First(4), &uses), [(vec![4], 1), (vec![0, 1, 2, 3], 3)]);
        assert_eq!(rounds(Who::First(9), &uses), [(vec![0, 1, 2, 3, 4], 3)], "not of this group");
        assert_eq!(rounds(Who::Only(2), &uses), [(vec![2], 1)]);
        assert_eq!(rounds(Who::Among(vec![3, 9, 0]), &uses), [(vec![3, 0], 2)]);
    }

    #[test]
    fn who_stands_in_for_a_neighbour_is_not_wanted_first() {
        let mut uses = Uses::default();
        uses.note(&order().candidates[1]);
        assert_eq!(rounds(Who::First(1), &uses), [(vec![0, 1, 2, 3, 4], 3)]);
        assert_eq!(rounds(Who::Only(1), &uses), [(vec![1], 1)]);
    }
}
