//! Who is asked what, and which answers count.
//!
//! A [`Desk`] holds the state of a running study and knows nothing of networks or disks: whoever runs it keeps what
//! it returns and can build it again from that. For each person the order is random; samples with the fewest valid
//! answers come first, so that what is left in the end needs one more person, not three. A sample that somebody else is
//! looking at counts as answered until they have been silent for [`RESERVED_MS`].
//!
//! Dummies are spread evenly: one at a random place in each block of `dummy_every` questions. Repeats ask an earlier
//! question with its sides exchanged and never count. Who misses more dummies than allowed is excluded: their answers
//! stop counting at once and the samples are asked again.
//!
//! Draws depend on the study's seed, the person's number and the question's number: the same requests in the same order
//! give the same questions.

use rand_chacha::ChaCha20Rng;
use serde::Serialize;

use super::{Rules, SampleKind, Side, Study};
use perface::draw::{Seed, below, shuffle};

/// How long a silent person keeps the questions that wait for them: half an hour, in milliseconds.
pub const RESERVED_MS: u64 = 30 * 60 * 1000;

/// A question is repeated after at least so many others.
const REPEAT_AFTER: usize = 10;

/// Questions a person has open: one to answer, and the next, whose pictures are fetched meanwhile.
const OPEN: usize = 2;

/// Why a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To count.
    Real,
    /// To see whether the person looks.
    Dummy,
    /// To see whether the person answers alike again.
    Repeat,
}

impl Purpose {
    /// Its name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Dummy => "dummy",
            Self::Repeat => "repeat",
        }
    }
}

impl std::str::FromStr for Purpose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "real" => Ok(Self::Real),
            "dummy" => Ok(Self::Dummy),
            "repeat" => Ok(Self::Repeat),
            _ => Err(format!("{text:?} is none of real, dummy, repeat")),
        }
    }
}

/// A question put to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which sample, by its place in [`Study::samples`].
    pub sample: usize,
    /// Why.
    pub purpose: Purpose,
    /// Which face is on the left.
    pub left: Side,
    /// When it was drawn, in milliseconds since 1970.
    pub asked_at_ms: u64,
    /// The answer, if it was given.
    pub answer: Option<Answer>,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The face that was chosen.
    pub choice: Side,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// When, in milliseconds since 1970.
    pub answered_at_ms: u64,
}

/// Somebody who answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// What they were asked, in order.
    pub asked: Vec<Asked>,
    /// When they were last heard of, in milliseconds since 1970.
    pub last_seen_ms: u64,
    /// Whether they asked for their answers to be deleted.
    pub withdrawn: bool,
    /// Dummies they missed.
    misses: usize,
    excluded: bool,
    /// Real samples they were asked, by place.
    seen: Vec<bool>,
}

impl Person {
    /// Whether they missed more dummies than allowed.
    pub fn excluded(&self) -> bool {
        self.excluded
    }

    /// Number of the question that waits for an answer, if one does.
    pub fn open(&self) -> Option<usize> {
        let first = self.asked.iter().rposition(|asked| asked.answer.is_some()).map_or(0, |last| last + 1);
        (first < self.asked.len()).then_some(first)
    }

    fn of_purpose(&self, purpose: Purpose) -> usize {
        self.asked.iter().filter(|asked| asked.purpose == purpose).count()
    }
}

/// What is next for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Questions by number: the one to answer, and the one after it if there is one.
    Ask(usize, Option<usize>),
    /// Nothing is left to ask: all samples have their answers, or the person has given as many as they may.
    Finished,
    /// The person is excluded.
    Excluded,
    /// The person has withdrawn.
    Withdrawn,
}

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such person.
    #[error("nobody of that name takes part")]
    NoPerson,
    /// The question is not the one that is open.
    #[error("this question is not open")]
    NotOpen,
    /// It was answered otherwise before.
    #[error("this question was answered already")]
    Answered,
    /// The person takes no more part.
    #[error("this person takes no more part")]
    Over,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is new.
    New,
    /// The same answer was there already, as when a reply was lost and the answer sent again.
    Already,
}

/// How far a sample is.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    valid: usize,
    left_a: usize,
    left_b: usize,
}

/// A running study.
#[derive(Clone, Debug)]
pub struct Desk {
    seed: Seed,
    rules: Rules,
    kinds: Vec<SampleKind>,
    correct: Vec<Option<Side>>,
    dummies: Vec<usize>,
    /// Per sample.
    tallies: Vec<Tally>,
    /// Samples that can be asked.
    askable: Vec<bool>,
    people: Vec<Person>,
}

impl Desk {
    /// A study nobody takes part in yet. Samples for which `askable` is false are never asked.
    pub fn new(study: &Study, askable: impl Fn(usize) -> bool) -> Self {
        let kinds: Vec<SampleKind> = study.samples.iter().map(|sample| sample.kind).collect();
        let askable: Vec<bool> = (0..kinds.len()).map(askable).collect();
        let is_dummy =
            |place: &usize| kinds.get(*place) == Some(&SampleKind::Dummy) && askable.get(*place) == Some(&true);
        Self {
            seed: Seed::new(study.seed.into()),
            rules: study.rules,
            correct: study.samples.iter().map(|sample| sample.correct).collect(),
            dummies: (0..kinds.len()).filter(is_dummy).collect(),
            tallies: vec![Tally::default(); kinds.len()],
            askable,
            kinds,
            people: Vec::new(),
        }
    }

    /// Let somebody in; their number.
    pub fn join(&mut self, now_ms: u64) -> usize {
        let seen = vec![false; self.kinds.len()];
        self.people.push(Person { last_seen_ms: now_ms, seen, ..Default::default() });
        self.people.len() - 1
    }

    /// Put back a question that was drawn before, with its answer if it has one; for building a desk again. The
    /// questions of a person must come in order. Unknown people and samples are passed over.
    pub fn restore(&mut self, person: usize, asked: Asked) {
        if self.kinds.get(asked.sample).is_none() || self.people.get(person).is_none() {
            return;
        }
        self.note_asked(person, Asked { answer: None, ..asked });
        if let Some(answer) = asked.answer {
            let number = self.people.get(person).map_or(0, |p| p.asked.len().saturating_sub(1));
            self.note_answer(person, number, answer);
        }
    }

    /// The people, by number.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// What is next for `person`. New questions are drawn as needed; they are at the end of [`Person::asked`].
    ///
    /// # Errors
    /// [`Refused::NoPerson`].
    pub fn next(&mut self, person: usize, now_ms: u64) -> Result<Next, Refused> {
        let who = self.people.get_mut(person).ok_or(Refused::NoPerson)?;
        who.last_seen_ms = who.last_seen_ms.max(now_ms);
        if who.withdrawn {
            return Ok(Next::Withdrawn);
        }
        if who.excluded {
            return Ok(Next::Excluded);
        }
        loop {
            let who = self.people.get(person).ok_or(Refused::NoPerson)?;
            let open = who.open();
            let waiting = open.map_or(0, |first| who.asked.len() - first);
            if waiting < OPEN
                && let Some(asked) = self.draw(person, now_ms)
            {
                self.note_asked(person, asked);
                continue;
            }
            return Ok(match open {
                None => Next::Finished,
                Some(first) => Next::Ask(first, (waiting > 1).then_some(first + 1)),
            });
        }
    }

    /// Take the answer of `person` to question `number`.
    ///
    /// # Errors
    /// [`Refused`]; nothing changes then.
    pub fn answer(&mut self, person: usize, number: usize, answer: Answer) -> Result<Taken, Refused> {
        let who = self.people.get_mut(person).ok_or(Refused::NoPerson)?;
        match who.asked.get(number).and_then(|asked| asked.answer) {
            Some(earlier) if earlier.choice == answer.choice => return Ok(Taken::Already),
            Some(_) => return Err(Refused::Answered),
            None => {}
        }
        if who.withdrawn || who.excluded {
            return Err(Refused::Over);
        }
        if who.open() != Some(number) {
            return Err(Refused::NotOpen);
        }
        self.note_answer(person, number, answer);
        Ok(Taken::New)
    }

    /// Forget everything `person` answered.
    ///
    /// # Errors
    /// [`Refused::NoPerson`].
    pub fn withdraw(&mut self, person: usize) -> Result<(), Refused> {
        self.stop_counting(person);
        let who = self.people.get_mut(person).ok_or(Refused::NoPerson)?;
        who.asked.clear();
        who.seen.fill(false);
        who.withdrawn = true;
        Ok(())
    }

    /// Whether the answer to `asked` by `person` counts for what it was asked for.
    pub fn counts(&self, person: &Person, asked: &Asked) -> bool {
        !person.excluded && !person.withdrawn && asked.answer.is_some_and(|answer| answer.ms >= self.rules.min_ms)
    }

    /// Valid answers of each sample.
    pub fn valid(&self) -> impl Iterator<Item = usize> + '_ {
        self.tallies.iter().map(|tally| tally.valid)
    }

    /// Real samples that can be asked, those that have their answers, and how many answers are still needed.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress { samples: 0, done: 0, needed: 0, by_answers: vec![0; self.rules.k + 1] };
        for (place, tally) in self.tallies.iter().enumerate() {
            if !self.is_real(place) {
                continue;
            }
            progress.samples += 1;
            progress.done += usize::from(tally.valid >= self.rules.k);
            progress.needed += self.rules.k.saturating_sub(tally.valid);
            if let Some(count) = progress.by_answers.get_mut(tally.valid.min(self.rules.k)) {
                *count += 1;
            }
        }
        progress
    }

    fn is_real(&self, place: usize) -> bool {
        self.kinds.get(place) == Some(&SampleKind::Real) && self.askable.get(place) == Some(&true)
    }

    /// The next question for `person`; `None` if there is nothing to ask.
    fn draw(&self, person: usize, now_ms: u64) -> Option<Asked> {
        let who = self.people.get(person)?;
        let number = who.asked.len();
        if self.rules.per_person > 0 && number >= self.rules.per_person {
            return None;
        }
        // Dummies and repeats come only while there is something real to ask.
        let sample = self.real_sample(person, now_ms)?;
        let mut rng = self.rng("side", person, number);
        if self.due("dummy", person, number, self.rules.dummy_every) > who.of_purpose(Purpose::Dummy)
            && let Some(sample) = self.dummy(person)
        {
            let left = if below(&mut rng, 2) == 0 { Side::A } else { Side::B };
            return Some(Asked { sample, purpose: Purpose::Dummy, left, asked_at_ms: now_ms, answer: None });
        }
        if self.due("repeat", person, number, self.rules.repeat_every) > who.of_purpose(Purpose::Repeat)
            && let Some(earlier) = self.repeatable(person)
        {
            let (sample, left) = (earlier.sample, earlier.left.other());
            return Some(Asked { sample, purpose: Purpose::Repeat, left, asked_at_ms: now_ms, answer: None });
        }
        let tally = self.tallies.get(sample)?;
        let own_left_a = who.asked.iter().filter(|asked| asked.left == Side::A).count();
        let balance = tally.left_a.cmp(&tally.left_b).then(own_left_a.cmp(&(number - own_left_a)));
        let left = match balance {
            std::cmp::Ordering::Less => Side::A,
            std::cmp::Ordering::Greater => Side::B,
            std::cmp::Ordering::Equal if below(&mut rng, 2) == 0 => Side::A,
            std::cmp::Ordering::Equal => Side::B,
        };
        Some(Asked { sample, purpose: Purpose::Real, left, asked_at_ms: now_ms, answer: None })
    }

    /// One of the samples that `person` has not seen and that have the fewest answers, given or awaited.
    fn real_sample(&self, person: usize, now_ms: u64) -> Option<usize> {
        let who = self.people.get(person)?;
        let mut awaited = vec![0usize; self.tallies.len()];
        for other in &self.people {
            let silent_ms = now_ms.saturating_sub(other.last_seen_ms);
            let Some(first) = other.open().filter(|_| !other.excluded && silent_ms < RESERVED_MS) else { continue };
            for asked in other.asked.iter().skip(first).filter(|asked| asked.purpose == Purpose::Real) {
                if let Some(count) = awaited.get_mut(asked.sample) {
                    *count += 1;
                }
            }
        }
        let mut fewest = self.rules.k;
        let mut best = Vec::new();
        for (place, (tally, awaited)) in self.tallies.iter().zip(&awaited).enumerate() {
            let answers = tally.valid + awaited;
            if answers > fewest || answers >= self.rules.k || !self.is_real(place) || who.seen.get(place) == Some(&true)
            {
                continue;
            }
            if answers < fewest {
                fewest = answers;
                best.clear();
            }
            best.push(place);
        }
        let drawn = below(&mut self.rng("sample", person, who.asked.len()), best.len());
        best.get(drawn).copied()
    }

    /// How many questions of a kind are due up to question `number`: one at a random place in each block of `every`.
    fn due(&self, kind: &str, person: usize, number: usize, every: usize) -> usize {
        if every == 0 {
            return 0;
        }
        let block = number / every;
        let place = below(&mut self.rng(kind, person, block), every);
        block + usize::from(number % every >= place)
    }

    /// The next dummy of `person`: all of them in random order, then again in another.
    fn dummy(&self, person: usize) -> Option<usize> {
        let had = self.people.get(person)?.of_purpose(Purpose::Dummy);
        let round = had.checked_div(self.dummies.len())?;
        let mut order = self.dummies.clone();
        shuffle(&mut self.rng("dummies", person, round), &mut order);
        order.get(had % self.dummies.len()).copied()
    }

    /// A question that `person` answered some time ago and was not asked again.
    fn repeatable(&self, person: usize) -> Option<Asked> {
        let who = self.people.get(person)?;
        let repeated: Vec<usize> =
            who.asked.iter().filter(|asked| asked.purpose == Purpose::Repeat).map(|asked| asked.sample).collect();
        let old = who.asked.len().saturating_sub(REPEAT_AFTER);
        let candidates: Vec<&Asked> = who
            .asked
            .iter()
            .take(old)
            .filter(|a| a.purpose == Purpose::Real && a.answer.is_some() && !repeated.contains(&a.sample))
            .collect();
        let drawn = below(&mut self.rng("repeated", person, who.asked.len()), candidates.len());
        candidates.get(drawn).map(|asked| **asked)
    }

    fn rng(&self, purpose: &str, person: usize, number: usize) -> ChaCha20Rng {
        let parts = [(person as u64).to_le_bytes(), (number as u64).to_le_bytes()];
        self.seed.keyed(&format!("study {purpose}"), &[&parts[0], &parts[1]])
    }

    fn note_asked(&mut self, person: usize, asked: Asked) {
        let (Some(who), Some(tally)) = (self.people.get_mut(person), self.tallies.get_mut(asked.sample)) else {
            return;
        };
        who.last_seen_ms = who.last_seen_ms.max(asked.asked_at_ms);
        if asked.purpose == Purpose::Real {
            if let Some(seen) = who.seen.get_mut(asked.sample) {
                *seen = true;
            }
            if !who.excluded {
                *(if asked.left == Side::A { &mut tally.left_a } else { &mut tally.left_b }) += 1;
            }
        }
        who.asked.push(asked);
    }

    fn note_answer(&mut self, person: usize, number: usize, answer: Answer) {
        let Some(who) = self.people.get_mut(person) else { return };
        let Some(asked) = who.asked.get_mut(number) else { return };
        asked.answer = Some(answer);
        who.last_seen_ms = who.last_seen_ms.max(answer.answered_at_ms);
        match asked.purpose {
            Purpose::Real if answer.ms >= self.rules.min_ms && !who.excluded => {
                if let Some(tally) = self.tallies.get_mut(asked.sample) {
                    tally.valid += 1;
                }
            }
            Purpose::Dummy if self.correct.get(asked.sample) != Some(&Some(answer.choice)) => {
                who.misses += 1;
                if who.misses > self.rules.allowed_misses && !who.excluded {
                    self.stop_counting(person);
                    if let Some(who) = self.people.get_mut(person) {
                        who.excluded = true;
                    }
                }
            }
            _ => {}
        }
    }

    /// Take what `person` was asked and answered out of the tallies.
    fn stop_counting(&mut self, person: usize) {
        let Some(who) = self.people.get(person).filter(|who| !who.excluded && !who.withdrawn) else { return };
        for asked in who.asked.iter().filter(|asked| asked.purpose == Purpose::Real) {
            let Some(tally) = self.tallies.get_mut(asked.sample) else { continue };
            let valid = asked.answer.is_some_and(|answer| answer.ms >= self.rules.min_ms);
            tally.valid = tally.valid.saturating_sub(usize::from(valid));
            let left = if asked.left == Side::A { &mut tally.left_a } else { &mut tally.left_b };
            *left = left.saturating_sub(1);
        }
    }
}

/// How far a study is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Real samples.
    pub samples: usize,
    /// Those with all their answers.
    pub done: usize,
    /// Valid answers still needed.
    pub needed: usize,
    /// How many samples have 0, 1, … valid answers; the last counts those with k or more.
    pub by_answers: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::tiny;

    fn desk(rules: Rules) -> Desk {
        let mut study = tiny(6, 6, 4);
        study.rules = rules;
        Desk::new(&study, |_| true)
    }

    /// Answer the open question of `person` with `choose`; false if there is none.
    fn step(
        desk: &mut Desk,
        person: usize,
        now_ms: u64,
        ms: u64,
        choose: impl Fn(&Asked, Option<Side>) -> Side,
    ) -> bool {
        let Next::Ask(number, _) = desk.next(person, now_ms).unwrap() else { return false };
        let asked = desk.people()[person].asked[number];
        let choice = choose(&asked, desk.correct[asked.sample]);
        desk.answer(person, number, Answer { choice, ms, answered_at_ms: now_ms }).unwrap();
        true
    }

    fn careful(asked: &Asked, correct: Option<Side>) -> Side {
        correct.unwrap_or(if asked.sample.is_multiple_of(2) { Side::A } else { Side::B })
    }

    fn careless(_: &Asked, correct: Option<Side>) -> Side {
        correct.map_or(Side::A, Side::other)
    }

    #[test]
    fn three_people_finish_a_study_and_nobody_sees_a_sample_twice() {
        let mut desk = desk(Rules { dummy_every: 6, repeat_every: 9, ..Default::default() });
        let people: Vec<usize> = (0..3).map(|_| desk.join(0)).collect();
        while people.iter().map(|p| step(&mut desk, *p, 5, 900, careful)).filter(|more| *more).count() > 0 {}
        assert_eq!(desk.progress(), Progress { samples: 36, done: 36, needed: 0, by_answers: vec![0, 0, 0, 36] });
        for person in desk.people() {
            let real: Vec<_> = person.asked.iter().filter(|a| a.purpose == Purpose::Real).map(|a| a.sample).collect();
            let distinct: std::collections::HashSet<_> = real.iter().collect();
            assert_eq!((real.len(), distinct.len()), (36, 36));
            assert!(person.of_purpose(Purpose::Dummy) >= 5 && person.of_purpose(Purpose::Repeat) >= 2);
            for (place, repeat) in person.asked.iter().enumerate().filter(|(_, a)| a.purpose == Purpose::Repeat) {
                let first = person.asked.iter().position(|a| a.sample == repeat.sample).unwrap();
                assert!(place - first >= REPEAT_AFTER);
                assert_eq!(person.asked[first].left, repeat.left.other(), "sides are exchanged");
            }
        }
    }

    #[test]
    fn sides_are_counterbalanced_within_samples_and_people() {
        let mut desk = desk(Rules { k: 4, dummy_every: 0, repeat_every: 0, ..Default::default() });
        let people: Vec<usize> = (0..4).map(|_| desk.join(0)).collect();
        while people.iter().map(|p| step(&mut desk, *p, 5, 900, careful)).filter(|more| *more).count() > 0 {}
        assert!(desk.tallies.iter().take(36).all(|t| t.left_a == 2 && t.left_b == 2));
        for person in desk.people() {
            let left_a = person.asked.iter().filter(|asked| asked.left == Side::A).count();
            assert!((9..=27).contains(&left_a), "{left_a} of 36");
        }
    }

    #[test]
    fn dummies_come_once_in_each_block_at_changing_places() {
        let mut desk = desk(Rules { dummy_every: 6, repeat_every: 0, ..Default::default() });
        let person = desk.join(0);
        while step(&mut desk, person, 5, 900, careful) {}
        let asked = &desk.people()[person].asked;
        let places: Vec<Option<usize>> =
            asked.chunks_exact(6).map(|block| block.iter().position(|a| a.purpose == Purpose::Dummy)).collect();
        assert!(places.iter().all(Option::is_some), "{places:?}");
        assert!(places.iter().any(|place| *place != places[0]), "{places:?}");
        // All four dummies come before one comes again.
        let dummies: Vec<_> = asked.iter().filter(|a| a.purpose == Purpose::Dummy).map(|a| a.sample).collect();
        let first: std::collections::HashSet<_> = dummies.iter().take(4).collect();
        assert_eq!(first.len(), 4);
    }

    #[test]
    fn who_misses_a_dummy_is_excluded_and_their_samples_are_asked_again() {
        let rules = Rules { dummy_every: 6, ..Default::default() };
        let mut study = desk(rules);
        let careless_one = study.join(0);
        while step(&mut study, careless_one, 5, 900, careless) {}
        assert!(study.people()[careless_one].excluded());
        assert_eq!(study.next(careless_one, 6), Ok(Next::Excluded));
        assert_eq!(study.progress().needed, 36 * 3, "no answer of theirs counts");
        let others: Vec<usize> = (0..3).map(|_| study.join(9)).collect();
        while others.iter().map(|p| step(&mut study, *p, 10, 900, careful)).filter(|more| *more).count() > 0 {}
        assert_eq!(study.progress().done, 36);
        // With a miss allowed, the first one is forgiven.
        let mut lenient = desk(Rules { allowed_misses: 1, ..rules });
        let person = lenient.join(0);
        while lenient.people()[person].misses == 0 {
            assert!(step(&mut lenient, person, 5, 900, careless));
        }
        assert!(!lenient.people()[person].excluded());
    }

    #[test]
    fn too_fast_answers_do_not_count() {
        let mut desk = desk(Rules { min_ms: 400, dummy_every: 0, repeat_every: 0, ..Default::default() });
        let person = desk.join(0);
        step(&mut desk, person, 5, 399, careful);
        assert_eq!(desk.progress().needed, 108);
        step(&mut desk, person, 6, 400, careful);
        assert_eq!(desk.progress().needed, 107);
    }

    #[test]
    fn an_answer_is_taken_once_and_only_to_the_open_question() {
        let mut desk = desk(Rules::default());
        let (one, other) = (desk.join(0), desk.join(0));
        assert!(matches!(desk.next(one, 1), Ok(Next::Ask(0, Some(1)))));
        let answer = |choice| Answer { choice, ms: 900, answered_at_ms: 2 };
        assert_eq!(desk.answer(one, 1, answer(Side::A)), Err(Refused::NotOpen), "the next one is only preloaded");
        assert_eq!(desk.answer(other, 0, answer(Side::A)), Err(Refused::NotOpen));
        assert_eq!(desk.answer(one, 0, answer(Side::A)), Ok(Taken::New));
        assert_eq!(desk.answer(one, 0, answer(Side::A)), Ok(Taken::Already));
        assert_eq!(desk.answer(one, 0, answer(Side::B)), Err(Refused::Answered));
        assert_eq!(desk.answer(9, 0, answer(Side::A)), Err(Refused::NoPerson));
        assert_eq!(desk.progress().needed, 107);
    }

    #[test]
    fn withdrawal_forgets_the_answers() {
        let mut desk = desk(Rules { dummy_every: 0, ..Default::default() });
        let person = desk.join(0);
        for _ in 0..5 {
            step(&mut desk, person, 5, 900, careful);
        }
        desk.withdraw(person).unwrap();
        assert_eq!(desk.progress().needed, 108);
        assert!(desk.people()[person].asked.is_empty());
        assert_eq!(desk.next(person, 6), Ok(Next::Withdrawn));
        desk.withdraw(person).unwrap();
        assert_eq!(desk.progress().needed, 108, "a second time changes nothing");
    }

    #[test]
    fn questions_of_the_silent_are_given_to_others_in_the_end() {
        let mut desk = desk(Rules { k: 1, dummy_every: 0, repeat_every: 0, ..Default::default() });
        let (silent, busy) = (desk.join(0), desk.join(0));
        desk.next(silent, 0).unwrap();
        while step(&mut desk, busy, 1, 900, careful) {}
        assert_eq!(desk.progress().needed, 2, "the silent one's two are kept for them");
        while step(&mut desk, busy, RESERVED_MS, 900, careful) {}
        assert_eq!(desk.progress().needed, 0);
    }

    #[test]
    fn a_desk_is_built_again_from_what_was_asked() {
        let mut first = desk(Rules { dummy_every: 5, ..Default::default() });
        for _ in 0..3 {
            first.join(0);
        }
        for round in 0..12 {
            step(&mut first, 0, round, 900, careful);
            step(&mut first, 1, round, if round == 3 { 10 } else { 900 }, careful);
            step(&mut first, 2, round, 900, careless);
        }
        let mut again = desk(Rules { dummy_every: 5, ..Default::default() });
        for (number, person) in first.people().to_vec().iter().enumerate() {
            again.join(0);
            for asked in &person.asked {
                again.restore(number, *asked);
            }
        }
        assert_eq!(first.progress(), again.progress());
        // When somebody who takes no more part was last heard of is not kept.
        let kept = |desk: &Desk| -> Vec<_> {
            desk.people().iter().map(|p| (p.asked.clone(), p.excluded, p.misses, p.seen.clone())).collect()
        };
        assert_eq!(kept(&first), kept(&again));
        for person in 0..3 {
            assert_eq!(first.next(person, 99), again.next(person, 99));
            assert_eq!(first.people()[person].asked, again.people()[person].asked);
        }
    }

    #[test]
    fn a_person_is_asked_no_more_than_the_rules_allow() {
        let mut desk = desk(Rules { per_person: 7, ..Default::default() });
        let person = desk.join(0);
        let mut asked = 0;
        while step(&mut desk, person, 5, 900, careful) {
            asked += 1;
        }
        assert_eq!(asked, 7);
        assert_eq!(desk.next(person, 6), Ok(Next::Finished));
    }
}
