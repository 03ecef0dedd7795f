//! Simulated people who answer a study through the server's own requests.
//!
//! For trying out a study and for tests. Nobody is asked, so the study must say `simulated`, and everything made from
//! its answers is called derived. Time is simulated too. The same seed gives the same answers to the same questions.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use perface::draw::{Seed, below};
use perface::pool::Gender;
use perface::table::{ColumnNames, Table};
use perface_evidence::study::trial::Asked;
use perface_evidence::study::{Rules, Sample, SampleKind, Side, SourceTriplet, Study, Target};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::auth;
use crate::state::{Clock, State};

/// When simulated studies begin, in milliseconds since 1970: 2026-01-01.
const BEGIN_MS: u64 = 1_767_225_600_000;
/// Longest reply that is read, in bytes.
const MAX_REPLY_BYTES: usize = 1 << 20;

/// Who answers.
#[derive(Clone, Debug)]
pub struct Population {
    /// How many people at the beginning; those who are excluded are replaced.
    pub people: usize,
    /// How many of them answer without looking.
    pub careless: usize,
    /// How many of them leave when they have answered half of what is asked of each.
    pub leaving: usize,
    /// Probability with which a careful person chooses the face fewer people would choose, where no list says otherwise.
    pub noise: f64,
    /// Probability of choosing A, by sample.
    pub preferences: HashMap<String, f64>,
    /// Seed of all that is simulated.
    pub seed: u64,
}

impl Default for Population {
    fn default() -> Self {
        Self { people: 18, careless: 1, leaving: 1, noise: 0.15, preferences: HashMap::new(), seed: 1 }
    }
}

/// What a simulation came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Simulated {
    /// People who joined.
    pub people: usize,
    /// Those excluded.
    pub excluded: usize,
    /// Answers given.
    pub answers: usize,
    /// Samples with all their answers, and all samples.
    pub done: [usize; 2],
}

/// A clock that stands until it is moved.
pub fn simulated_clock() -> (Arc<AtomicU64>, Clock) {
    let now_ms = Arc::new(AtomicU64::new(BEGIN_MS));
    let shown = now_ms.clone();
    (now_ms, Arc::new(move || shown.load(Ordering::Relaxed)))
}

/// Read a list of preferences: the columns `sample_id, p_a`.
///
/// # Errors
/// If it cannot be read or a probability is none.
pub fn read_preferences(path: &Path) -> Result<HashMap<String, f64>> {
    let table = Table::read(path, &ColumnNames::default(), &["sample_id", "p_a"])?;
    let one = |row: perface::table::Row| {
        let p_a: f64 = row.parse("p_a")?;
        if !(0.0..=1.0).contains(&p_a) {
            return Err(row.error("p_a is no probability"));
        }
        Ok((row.parse("sample_id")?, p_a))
    };
    Ok(table.rows().map(one).collect::<perface::Result<_>>()?)
}

/// One simulated person.
#[derive(Clone)]
struct Person {
    token: String,
    careless: bool,
    /// Leaves after so many answers.
    leaves_after: usize,
    answered: usize,
    question: Option<String>,
}

/// Let `population` answer the study behind `app` and `state`, whose clock is `now_ms`, until every sample has its
/// answers.
///
/// # Errors
/// If the study is not marked as simulated, a request fails, or the study does not end.
pub async fn run(app: &Router, state: &State, now_ms: &AtomicU64, population: &Population) -> Result<Simulated> {
    ensure!(state.study.simulated, "only a study whose study.json says \"simulated\": true can be answered by nobody");
    let samples = state.study.of_kind(SampleKind::Real).count();
    let share = samples * state.study.rules.k / population.people.max(1);
    let mut people = Vec::new();
    for number in 0..population.people {
        let careless = number < population.careless;
        let leaving = !careless && number < population.careless + population.leaving;
        people.push(join(app, careless, if leaving { share / 2 } else { usize::MAX }).await?);
    }
    let (mut answers, mut joined) = (0, population.people);
    // Each round everybody answers one question; a study that is not done after so many never will be.
    for round in 0..20 * samples.max(100) {
        now_ms.fetch_add(1500 + (round as u64 * 7919) % 1000, Ordering::Relaxed);
        let mut tasks = Vec::with_capacity(people.len());
        for person in people.drain(..) {
            let answer = match person.question.clone() {
                Some(question) => Some(decide(state, population, &person, question, round).await?),
                None => None,
            };
            tasks.push(tokio::spawn(step(app.clone(), person, answer)));
        }
        for task in tasks {
            let (person, gave) = task.await??;
            answers += usize::from(gave);
            if let Some(person) = person {
                people.push(person);
            }
        }
        if people.is_empty() {
            let progress = state.office.run(|office| Ok(office.desk().progress())).await?;
            if progress.needed == 0 {
                break;
            }
            ensure!(
                joined < 10 * population.people.max(1),
                "{} answers are missing and nobody can give them",
                progress.needed
            );
            people.push(join(app, false, usize::MAX).await?);
            joined += 1;
            // Whoever left gives up the questions that waited for them.
            now_ms.fetch_add(perface_evidence::study::trial::RESERVED_MS, Ordering::Relaxed);
        }
    }
    let (progress, people, excluded) = state
        .office
        .run(|office| {
            let excluded = office.desk().people().iter().filter(|person| person.excluded()).count();
            Ok((office.desk().progress(), office.people().len(), excluded))
        })
        .await?;
    Ok(Simulated { people, excluded, answers, done: [progress.done, progress.samples] })
}

async fn join(app: &Router, careless: bool, leaves_after: usize) -> Result<Person> {
    let reply = request(app, Method::POST, "/api/people", None, Some(json!({ "consent": true }))).await?;
    let token = reply["token"].as_str().context("no token")?.to_owned();
    request(app, Method::POST, "/api/practised", Some(&token), None).await?;
    Ok(Person { token, careless, leaves_after, answered: 0, question: None })
}

/// Send the answer, or ask for the first question; the person is gone if there is no more to do.
async fn step(app: Router, mut person: Person, answer: Option<Value>) -> Result<(Option<Person>, bool)> {
    let gave = answer.is_some();
    let reply = match answer {
        Some(answer) => request(&app, Method::POST, "/api/answers", Some(&person.token), Some(answer)).await?,
        None => request(&app, Method::GET, "/api/next", Some(&person.token), None).await?,
    };
    person.answered += usize::from(gave);
    if person.answered >= person.leaves_after || reply["state"] != "ask" {
        return Ok((None, gave));
    }
    person.question = reply["question"]["id"].as_str().map(str::to_owned);
    Ok((Some(person), gave))
}

/// What `person` answers. Simulated people cannot look, so they are told which sample it is.
async fn decide(
    state: &State,
    population: &Population,
    person: &Person,
    question: String,
    round: usize,
) -> Result<Value> {
    let hash = auth::hash(&person.token);
    let (number, asked) = state
        .office
        .run(move |office| {
            let number = office.person(&hash)?;
            Ok((number, office.open_sample(number)))
        })
        .await?;
    let asked: Asked = asked.context("no question is open")?;
    let sample = state.study.samples.get(asked.sample).context("no such sample")?;
    let parts = [(number as u64).to_le_bytes(), (round as u64).to_le_bytes()];
    let mut rng = Seed::new(population.seed.into()).keyed("simulated answer", &[&parts[0], &parts[1]]);
    let mut chance = || below(&mut rng, 1 << 30) as f64 / f64::from(1 << 30);
    let p_a = match (person.careless, sample.correct) {
        (true, _) => 0.5,
        (false, Some(correct)) => f64::from(u8::from(correct == Side::A)),
        (false, None) => preference(population, &sample.id),
    };
    let choice = if chance() < p_a { Side::A } else { Side::B };
    // From about half a second to one and a half.
    let ms = (450.0 * (1.2 * chance()).exp()) as u64;
    let choice = if choice == asked.left { "left" } else { "right" };
    Ok(json!({ "question": question, "choice": choice, "ms": ms }))
}

/// Probability with which a careful person chooses A.
pub fn preference(population: &Population, sample_id: &str) -> f64 {
    population.preferences.get(sample_id).copied().unwrap_or_else(|| {
        let mut rng = Seed::new(population.seed.into()).keyed("simulated preference", &[sample_id.as_bytes()]);
        if below(&mut rng, 2) == 0 { population.noise } else { 1.0 - population.noise }
    })
}

/// One request to `app`, which must succeed.
///
/// # Errors
/// If it does not, with what the server said.
pub async fn request(
    app: &Router,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Result<Value> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = match body {
        Some(body) => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    let response = app.clone().oneshot(request.body(body)?).await?;
    let status = response.status();
    let bytes = to_bytes(response.into_body(), MAX_REPLY_BYTES).await?;
    if status != StatusCode::OK {
        bail!("{path}: {status}: {}", String::from_utf8_lossy(&bytes));
    }
    Ok(serde_json::from_slice(&bytes)?)
}

/// A simulated study of `targets` × `triplets` samples without pictures, with as many dummies and practice questions as
/// asked for.
pub fn placeholder_study(targets: usize, triplets: usize, dummies: usize) -> Study {
    let gender = |n: usize| if n.is_multiple_of(2) { Gender::Female } else { Gender::Male };
    let source = |letter: char, n: usize| SourceTriplet {
        id: format!("{letter}{:03}", n + 1),
        c: format!("{letter}{n}-c.png"),
        a: format!("{letter}{n}-a.png"),
        b: format!("{letter}{n}-b.png"),
        gender: gender(n),
        variant: None,
    };
    let target = |n: usize| Target { id: format!("t{:03}", n + 1), image: format!("t{n}.png"), gender: gender(n) };
    let mut study = Study {
        schema: 1,
        seed: 1,
        engine: None,
        model_hash: None,
        simulated: true,
        rules: Rules::default(),
        targets: (0..targets).map(target).collect(),
        triplets: (0..triplets).map(|n| source('s', n)).collect(),
        samples: Vec::new(),
        overrides: Vec::new(),
    };
    for target in &study.targets {
        for triplet in &study.triplets {
            study.samples.push(Sample {
                id: format!("{}-{}", target.id, triplet.id),
                target_id: target.id.clone(),
                triplet_id: triplet.id.clone(),
                kind: SampleKind::Real,
                correct: None,
            });
        }
    }
    for (letter, kind, count) in [('d', SampleKind::Dummy, dummies), ('p', SampleKind::Practice, dummies.min(3))] {
        for n in 0..count {
            let triplet = source(letter, n);
            study.samples.push(Sample {
                id: format!("t001-{}", triplet.id),
                target_id: "t001".to_owned(),
                triplet_id: triplet.id.clone(),
                kind,
                correct: Some(if n.is_multiple_of(2) { Side::A } else { Side::B }),
            });
            study.triplets.push(triplet);
        }
    }
    study
}
