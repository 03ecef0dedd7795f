//! What people who take part ask for: the study, a place in it, questions, and to be forgotten.

use axum::Json;
use axum::extract::State as Shared;
use axum::extract::rejection::JsonRejection;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::auth;
use crate::error::Failure;
use crate::office::{MAX_EXTERNAL_BYTES, Question, Step, Turn};
use crate::state::State;

/// `GET /api/study`: texts and practice questions, for everybody.
pub async fn study(Shared(state): Shared<State>) -> Result<Json<Value>, Failure> {
    let practice = state.office.run(|office| Ok(office.practice())).await?;
    let practice: Vec<Value> = practice
        .iter()
        .map(|(question, left)| json!({ "question": shown(question), "correct": if *left { "left" } else { "right" } }))
        .collect();
    Ok(Json(json!({
        "texts": *state.texts,
        "practice": practice,
        "per_person": state.study.rules.per_person,
        "simulated": state.study.simulated,
    })))
}

/// What somebody sends who wants to take part.
#[derive(Deserialize)]
pub struct Join {
    consent: bool,
    #[serde(default)]
    external: Option<String>,
}

/// `POST /api/people`: take part; the reply is the token of the personal link.
pub async fn join(
    Shared(state): Shared<State>,
    body: Result<Json<Join>, JsonRejection>,
) -> Result<Json<Value>, Failure> {
    let Join { consent, external } = read(body)?;
    if !consent {
        return Err(Failure::Bad("nobody takes part without consent"));
    }
    let external = external.filter(|name| !name.is_empty());
    if external.as_ref().is_some_and(|name| name.len() > MAX_EXTERNAL_BYTES || name.chars().any(char::is_control)) {
        return Err(Failure::Bad("the participant's name is too long"));
    }
    let token = auth::new_token().map_err(|_| Failure::NotKept)?;
    let (hash, now_ms) = (auth::hash(&token), state.now_ms());
    state.office.run(move |office| office.join(hash, external, now_ms)).await?;
    Ok(Json(json!({ "token": token })))
}

/// `GET /api/next`: what is next for the person with this token.
pub async fn next(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let (token, now_ms) = (token(&headers)?, state.now_ms());
    let turn = state
        .office
        .run(move |office| {
            let person = office.person(&token)?;
            office.turn(person, now_ms)
        })
        .await?;
    Ok(Json(reply(&state, &turn)))
}

/// `POST /api/practised`: the practice questions are done.
pub async fn practised(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let token = token(&headers)?;
    state
        .office
        .run(move |office| {
            let person = office.person(&token)?;
            office.practised(person)
        })
        .await?;
    Ok(Json(json!({})))
}

/// An answer as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    question: String,
    choice: Shown,
    ms: u64,
}

/// The face that was chosen, by where it was.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shown {
    Left,
    Right,
}

/// `POST /api/answers`: an answer; the reply is what is next. The same answer may be sent again.
pub async fn answer(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Result<Json<Answered>, JsonRejection>,
) -> Result<Json<Value>, Failure> {
    let (token, now_ms) = (token(&headers)?, state.now_ms());
    let Answered { question, choice, ms } = read(body)?;
    let turn = state
        .office
        .run(move |office| {
            let person = office.person(&token)?;
            office.answer(person, &question, choice == Shown::Left, ms, now_ms)?;
            office.turn(person, now_ms)
        })
        .await?;
    Ok(Json(reply(&state, &turn)))
}

/// `DELETE /api/me`: forget this person's answers.
pub async fn withdraw(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let (token, now_ms) = (token(&headers)?, state.now_ms());
    state
        .office
        .run(move |office| {
            let person = office.person(&token)?;
            office.withdraw(person, now_ms)
        })
        .await?;
    state.office.clean().await;
    Ok(Json(json!({ "state": "withdrawn" })))
}

fn token(headers: &HeaderMap) -> Result<auth::TokenHash, Failure> {
    auth::bearer(headers).map(auth::hash).ok_or(Failure::Unknown)
}

fn read<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Failure> {
    match body {
        Ok(Json(value)) => Ok(value),
        Err(_) => Err(Failure::Bad("the request is not what this page would send")),
    }
}

/// A question as people get it.
#[derive(Serialize)]
struct ShownQuestion<'a> {
    id: &'a str,
    above: String,
    left: String,
    right: String,
}

fn shown(question: &Question) -> ShownQuestion<'_> {
    let [above, left, right] = question.pictures.each_ref().map(|name| format!("/picture/{name}"));
    ShownQuestion { id: &question.id, above, left, right }
}

fn reply(state: &State, turn: &Turn) -> Value {
    let mut reply = json!({
        "answered": turn.answered,
        "practised": turn.practised,
        "complete": (turn.complete * 1000.0).floor() / 1000.0,
    });
    let parts = match &turn.step {
        Step::Ask(question, upcoming) => {
            json!({ "state": "ask", "question": shown(question), "upcoming": upcoming.as_ref().map(shown) })
        }
        Step::Finished => {
            let completion = &state.options.completion;
            json!({ "state": "finished", "code": completion.code, "url": completion.url })
        }
        Step::Ended => json!({ "state": "ended" }),
        Step::Withdrawn => json!({ "state": "withdrawn" }),
    };
    if let (Value::Object(reply), Value::Object(parts)) = (&mut reply, parts) {
        reply.extend(parts);
    }
    reply
}
