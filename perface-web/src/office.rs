//! The one thread that holds the running study and its database.
//!
//! Requests are jobs that queue for it. It takes all that wait, runs them in one transaction, commits, and only then
//! lets their replies go: people who answer while the disk is busy share its next write, and nobody sees the next
//! question before the answer is on the disk. If the disk fails, what was not written is forgotten in memory too.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Result;
use perface_evidence::study::trial::{Answer, Asked, Desk, Next, Refused, Taken};
use perface_evidence::study::vote::{Vote, utc};
use perface_evidence::study::{Place, Study};
use tokio::sync::oneshot;

use crate::auth::{self, TokenHash};
use crate::error::Failure;
use crate::store::{PersonRow, Store};

/// Most jobs in one transaction.
const MAX_BATCH: usize = 256;

/// Longest name a platform may give a person, in bytes.
pub const MAX_EXTERNAL_BYTES: usize = 128;

/// Where each picture that may be seen now is, by the name it has in links.
pub type Pictures = Arc<RwLock<HashMap<String, PathBuf>>>;

type Job = Box<dyn FnOnce(&mut Office) -> Reply + Send>;
/// Sends a reply once it is known whether everything was written.
type Reply = Box<dyn FnOnce(bool) + Send>;

/// A question as a person gets it: names only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Name to answer by.
    pub id: String,
    /// Names of the pictures above, at the left and at the right.
    pub pictures: [String; 3],
}

/// What a person gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// What is next.
    pub step: Step,
    /// Questions the person has answered.
    pub answered: usize,
    /// Whether the practice questions are done.
    pub practised: bool,
    /// Share of the study's answers that are there, in `[0, 1]`.
    pub complete: f64,
}

/// What is next for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A question, and the one after it.
    Ask(Question, Option<Question>),
    /// All is answered.
    Finished,
    /// The person takes no more part.
    Ended,
    /// The person's answers are deleted.
    Withdrawn,
}

/// The running study.
pub struct Office {
    study: Arc<Study>,
    folder: PathBuf,
    askable: Arc<Vec<bool>>,
    store: Store,
    secret: [u8; 32],
    desk: Desk,
    people: Vec<PersonRow>,
    by_token: HashMap<TokenHash, usize>,
    /// Questions of each person that are in the database.
    kept: Vec<usize>,
    pictures: Pictures,
    max_people: usize,
    /// Whether to empty the database's log after the next transaction.
    clean_after: bool,
}

/// A handle on the office for requests.
#[derive(Clone)]
pub struct Desktop {
    jobs: Sender<Job>,
}

impl Desktop {
    /// Run `work` in the office and wait until what it wrote is on the disk.
    ///
    /// # Errors
    /// What `work` fails with; `Failure::NotKept` if the disk failed.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Office) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |office| {
            let result = work(office);
            Box::new(move |kept| {
                // Whoever asked may have gone.
                let _ = sender.send(if kept { result } else { Err(Failure::NotKept) });
            })
        });
        self.jobs.send(job).map_err(|_| Failure::NotKept)?;
        receiver.await.unwrap_or(Err(Failure::NotKept))
    }

    /// Empty the database's log, in which deleted answers may still stand.
    pub async fn clean(&self) {
        let (sender, receiver) = oneshot::channel();
        // A log cannot be emptied inside a transaction, so this waits for the reply of an empty one.
        let job: Job = Box::new(move |office| {
            office.clean_after = true;
            Box::new(move |_| {
                // Whoever asked may have gone.
                let _ = sender.send(());
            })
        });
        if self.jobs.send(job).is_ok() {
            let _ = receiver.await;
        }
    }
}

/// Open the study's database and start its thread, which ends with the last handle.
///
/// # Errors
/// If the database cannot be opened.
pub fn start(
    study: Arc<Study>,
    folder: &Path,
    askable: Arc<Vec<bool>>,
    pictures: Pictures,
    max_people: usize,
) -> Result<Desktop> {
    let store = Store::open(folder, &study)?;
    let secret = store.secret()?;
    let desk = Desk::new(&study, |_| false);
    let mut office = Office {
        study,
        folder: folder.to_owned(),
        askable,
        store,
        secret,
        desk,
        people: Vec::new(),
        by_token: HashMap::new(),
        kept: Vec::new(),
        pictures,
        max_people,
        clean_after: false,
    };
    office.reload()?;
    let (jobs, queue) = channel();
    std::thread::Builder::new().name("office".to_owned()).spawn(move || office.work(&queue))?;
    Ok(Desktop { jobs })
}

impl Office {
    fn work(mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut kept = self.store.begin().is_ok();
            let mut replies = vec![first(&mut self)];
            while replies.len() < MAX_BATCH
                && let Ok(job) = queue.try_recv()
            {
                replies.push(job(&mut self));
            }
            kept = kept && self.store.commit().is_ok();
            if !kept {
                self.store.roll_back();
                if let Err(error) = self.reload() {
                    eprintln!("perface-web: the database cannot be read: {error:#}");
                    return;
                }
            }
            if std::mem::take(&mut self.clean_after) {
                self.store.empty_log();
            }
            replies.into_iter().for_each(|reply| reply(kept));
        }
    }

    /// Build everything in memory again from the database.
    fn reload(&mut self) -> Result<()> {
        let askable = self.askable.clone();
        let (people, desk) = self.store.load(&self.study, |place| askable.get(place) == Some(&true))?;
        self.kept = desk.people().iter().map(|person| person.asked.len()).collect();
        self.by_token = people.iter().enumerate().map(|(number, person)| (person.token_hash, number)).collect();
        self.desk = desk;
        self.people = people;
        Ok(())
    }

    /// The study's state.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// The study's design.
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// Everybody, by number.
    pub fn people(&self) -> &[PersonRow] {
        &self.people
    }

    /// Who has the link with this token.
    ///
    /// # Errors
    /// `Failure::Unknown`.
    pub fn person(&self, token: &TokenHash) -> Result<usize, Failure> {
        self.by_token.get(token).copied().ok_or(Failure::Unknown)
    }

    /// Let somebody in.
    ///
    /// # Errors
    /// `Failure::Full`; `Failure::NotKept`.
    pub fn join(&mut self, token_hash: TokenHash, external: Option<String>, now_ms: u64) -> Result<(), Failure> {
        if self.people.len() >= self.max_people {
            return Err(Failure::Full);
        }
        let person = PersonRow { token_hash, external, joined_at_ms: now_ms, practised: false, withdrawn: false };
        self.store.add_person(self.people.len(), &person).map_err(|_| Failure::NotKept)?;
        let number = self.desk.join(now_ms);
        self.by_token.insert(token_hash, number);
        self.people.push(person);
        self.kept.push(0);
        Ok(())
    }

    /// Note that `person` has practised.
    ///
    /// # Errors
    /// `Failure::NotKept`.
    pub fn practised(&mut self, person: usize) -> Result<(), Failure> {
        self.store.set_practised(person).map_err(|_| Failure::NotKept)?;
        if let Some(row) = self.people.get_mut(person) {
            row.practised = true;
        }
        Ok(())
    }

    /// What is next for `person`; new questions are written down.
    ///
    /// # Errors
    /// `Failure::Refused`; `Failure::NotKept`.
    pub fn turn(&mut self, person: usize, now_ms: u64) -> Result<Turn, Failure> {
        let next = self.desk.next(person, now_ms)?;
        let asked = self.desk.people().get(person).map_or(&[][..], |who| &who.asked);
        let kept = self.kept.get_mut(person).ok_or(Failure::Refused(Refused::NoPerson))?;
        for (number, asked) in asked.iter().enumerate().skip(*kept) {
            let sample = self.study.samples.get(asked.sample).map_or("", |sample| sample.id.as_str());
            self.store.add_asked(person, number, sample, asked).map_err(|_| Failure::NotKept)?;
        }
        *kept = asked.len();
        let answered = asked.iter().filter(|asked| asked.answer.is_some()).count();
        let step = match next {
            Next::Ask(open, upcoming) => {
                let open = self.question(person, open)?;
                let upcoming = upcoming.map(|number| self.question(person, number)).transpose()?;
                Step::Ask(open, upcoming)
            }
            Next::Finished => Step::Finished,
            Next::Excluded => Step::Ended,
            Next::Withdrawn => Step::Withdrawn,
        };
        let progress = self.desk.progress();
        let all = (progress.samples * self.study.rules.k).max(1);
        let practised = self.people.get(person).is_some_and(|row| row.practised);
        Ok(Turn { step, answered, practised, complete: 1.0 - progress.needed as f64 / all as f64 })
    }

    /// Take an answer of `person` to the question called `id`: whether the left face was chosen, and how long it took.
    /// The time is at most what has passed since the question could be seen.
    ///
    /// # Errors
    /// `Failure::Refused` if the question is not open to this person; `Failure::NotKept`.
    pub fn answer(&mut self, person: usize, id: &str, left: bool, ms: u64, now_ms: u64) -> Result<(), Failure> {
        let who = self.desk.people().get(person).ok_or(Failure::Refused(Refused::NoPerson))?;
        let number = (0..who.asked.len()).rev().find(|number| self.question_id(person, *number) == id);
        let number = number.ok_or(Failure::Refused(Refused::NotOpen))?;
        let asked = *who.asked.get(number).ok_or(Failure::Refused(Refused::NotOpen))?;
        let before =
            number.checked_sub(1).and_then(|earlier| who.asked.get(earlier)).and_then(|earlier| earlier.answer);
        let seen_at_ms = before.map_or(asked.asked_at_ms, |answer| answer.answered_at_ms.max(asked.asked_at_ms));
        let ms = ms.min(now_ms.saturating_sub(seen_at_ms));
        let choice = if left { asked.left } else { asked.left.other() };
        let answer = Answer { choice, ms, answered_at_ms: now_ms };
        if self.desk.answer(person, number, answer)? == Taken::New {
            self.store.add_answer(person, number, &answer).map_err(|_| Failure::NotKept)?;
            let mut pictures = self.pictures.write().unwrap_or_else(PoisonError::into_inner);
            for place in 0..3 {
                pictures.remove(&self.picture_id(person, number, place));
            }
        }
        Ok(())
    }

    /// Delete the answers of `person`.
    ///
    /// # Errors
    /// `Failure::NotKept`.
    pub fn withdraw(&mut self, person: usize, now_ms: u64) -> Result<(), Failure> {
        self.store.withdraw(person, now_ms).map_err(|_| Failure::NotKept)?;
        self.desk.withdraw(person)?;
        if let (Some(row), Some(kept)) = (self.people.get_mut(person), self.kept.get_mut(person)) {
            row.withdrawn = true;
            row.external = None;
            *kept = 0;
        }
        Ok(())
    }

    /// All answers.
    pub fn votes(&self) -> Vec<Vote> {
        votes(&self.study, &self.desk)
    }

    /// The sample behind an open question: for simulated people, who cannot look at pictures.
    pub fn open_sample(&self, person: usize) -> Option<Asked> {
        let who = self.desk.people().get(person)?;
        who.asked.get(who.open()?).copied()
    }

    fn question(&self, person: usize, number: usize) -> Result<Question, Failure> {
        let gone = || Failure::Refused(Refused::NotOpen);
        let asked = self.desk.people().get(person).and_then(|who| who.asked.get(number)).ok_or_else(gone)?;
        let sample = self.study.samples.get(asked.sample).ok_or_else(gone)?;
        let shown = [Place::C, asked.left.into(), asked.left.other().into()];
        let names: [String; 3] = std::array::from_fn(|place| self.picture_id(person, number, place as u64));
        let mut pictures = self.pictures.write().unwrap_or_else(PoisonError::into_inner);
        for (name, place) in names.iter().zip(shown) {
            if !pictures.contains_key(name) {
                pictures.insert(name.clone(), crate::pictures::path_of(&self.folder, sample, place));
            }
        }
        Ok(Question { id: self.question_id(person, number), pictures: names })
    }

    fn question_id(&self, person: usize, number: usize) -> String {
        auth::name(&self.secret, "question", &[person as u64, number as u64])
    }

    fn picture_id(&self, person: usize, number: usize, place: u64) -> String {
        auth::name(&self.secret, "picture", &[person as u64, number as u64, place])
    }

    /// Names for the pictures of the practice questions, with which side is right: the same for everybody.
    pub fn practice(&self) -> Vec<(Question, bool)> {
        let samples = self.study.samples.iter().enumerate();
        let practice = samples.filter_map(|(place, sample)| sample.correct.map(|correct| (place, sample, correct)));
        let practice = practice.filter(|(place, sample, _)| {
            sample.kind == perface_evidence::study::SampleKind::Practice && self.askable.get(*place) == Some(&true)
        });
        let mut pictures = self.pictures.write().unwrap_or_else(PoisonError::into_inner);
        practice
            .map(|(place, sample, correct)| {
                let part = |part: u64| auth::name(&self.secret, "practice", &[place as u64, part]);
                let names = [part(0), part(1), part(2)];
                for (name, shown) in names.iter().zip(Place::ALL) {
                    pictures.insert(name.clone(), crate::pictures::path_of(&self.folder, sample, shown));
                }
                (Question { id: part(3), pictures: names }, correct == perface_evidence::study::Side::A)
            })
            .collect()
    }
}

/// All answers that `desk` has, in the order of people and questions.
pub fn votes(study: &Study, desk: &Desk) -> Vec<Vote> {
    let mut votes = Vec::new();
    for (number, person) in desk.people().iter().enumerate() {
        for asked in &person.asked {
            let (Some(answer), Some(sample)) = (asked.answer, study.samples.get(asked.sample)) else { continue };
            votes.push(Vote {
                sample_id: sample.id.clone(),
                person_id: person_id(number),
                choice: answer.choice,
                left: asked.left,
                ms: answer.ms,
                valid: desk.counts(person, asked),
                answered_at: utc(answer.answered_at_ms),
                purpose: asked.purpose,
            });
        }
    }
    votes
}

/// What person `number` is called in tables.
pub fn person_id(number: usize) -> String {
    format!("p{:03}", number + 1)
}
