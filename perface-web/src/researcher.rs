//! What the researcher sees: how far the study is, how people answer, and all answers as a table.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use perface::summary::{Proportion, quantile};
use perface_evidence::study::close::{agreement_so_far, times};
use perface_evidence::study::trial::Purpose;
use perface_evidence::study::vote::{self, utc};
use serde_json::{Value, json};

use crate::auth;
use crate::error::Failure;
use crate::office::person_id;
use crate::state::State;

/// The last hour, in milliseconds.
const HOUR_MS: u64 = 60 * 60 * 1000;
/// Somebody seen in the last five minutes is there.
const PRESENT_MS: u64 = 5 * 60 * 1000;
/// Longer gaps between answers are breaks.
const BREAK_MS: u64 = 60 * 1000;

fn allow(state: &State, headers: &HeaderMap) -> Result<(), Failure> {
    let hash = auth::bearer(headers).map(auth::hash).ok_or(Failure::Unknown)?;
    if auth::same(&hash, &state.researcher) { Ok(()) } else { Err(Failure::Unknown) }
}

/// `GET /api/researcher/progress`.
pub async fn progress(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    allow(&state, &headers)?;
    let now_ms = state.now_ms();
    let (desk, rows) = state.office.run(|office| Ok((office.desk().clone(), office.people().to_vec()))).await?;
    let study = state.study.clone();
    let counted = tokio::task::spawn_blocking(move || {
        let votes = crate::office::votes(&study, &desk);
        let summaries = vote::summaries(&study, &study.rules, &votes);
        let by_id: HashMap<&str, &vote::PersonSummary> = summaries.iter().map(|s| (s.person_id.as_str(), s)).collect();
        let progress = desk.progress();
        let valid: Vec<&vote::Vote> = votes.iter().filter(|v| v.valid && v.purpose == Purpose::Real).collect();
        let answered = desk.people().iter().flat_map(|person| person.asked.iter().filter_map(|asked| asked.answer));
        let in_last_hour = answered.filter(|answer| now_ms.saturating_sub(answer.answered_at_ms) < HOUR_MS).count();
        // From one answer to the next, without breaks: what a valid answer costs a person.
        let gaps: Vec<f64> = desk
            .people()
            .iter()
            .flat_map(|person| person.asked.windows(2))
            .filter_map(|pair| Some((pair.first()?.answer?, pair.last()?.answer?)))
            .map(|(before, after)| after.answered_at_ms.saturating_sub(before.answered_at_ms))
            .filter(|gap| *gap < BREAK_MS)
            .map(|gap| gap as f64)
            .collect();
        let share_valid = valid.len() as f64 / votes.len().max(1) as f64;
        let hours = quantile(&gaps, 0.5)
            .filter(|_| share_valid > 0.0)
            .map(|gap| progress.needed as f64 * gap / share_valid / HOUR_MS as f64);
        let people: Vec<Value> = desk
            .people()
            .iter()
            .zip(&rows)
            .enumerate()
            .map(|(number, (person, row))| {
                let status = match () {
                    () if person.withdrawn => "withdrawn",
                    () if person.excluded() => "excluded",
                    () if person.open().is_none() && !person.asked.is_empty() => "finished",
                    () if now_ms.saturating_sub(person.last_seen_ms) < PRESENT_MS => "here",
                    () => "away",
                };
                json!({
                    "id": person_id(number),
                    "status": status,
                    "joined_at": utc(row.joined_at_ms),
                    "last_seen": utc(person.last_seen_ms),
                    "summary": by_id.get(person_id(number).as_str()),
                })
            })
            .collect();
        let ms: Vec<f64> = valid.iter().map(|v| v.ms as f64).collect();
        json!({
            "simulated": study.simulated,
            "rules": study.rules,
            "progress": progress,
            "answers": { "all": votes.len(), "valid": valid.len(), "last_hour": in_last_hour },
            "person_hours_left": hours,
            "people": people,
            "agreement": agreement_so_far(&study, &votes),
            "left": Proportion::wilson(valid.iter().filter(|v| v.choice == v.left).count(), valid.len()),
            "times": times(&ms),
            "now": utc(now_ms),
        })
    });
    let mut counted = counted.await.map_err(|_| Failure::NotKept)?;
    if let Some(counted) = counted.as_object_mut() {
        counted.insert("left_out".to_owned(), json!(state.left_out));
        counted.insert("blanks".to_owned(), json!(state.blanks()));
    }
    Ok(Json(counted))
}

/// `GET /api/researcher/votes.csv`: every answer.
pub async fn votes(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Response, Failure> {
    allow(&state, &headers)?;
    let votes = state.office.run(|office| Ok(office.votes())).await?;
    table("votes.csv", vote::csv(&votes).map_err(|_| Failure::NotKept)?)
}

/// `GET /api/researcher/people.csv`: what a crowd platform calls each person, to pay them.
pub async fn people(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Response, Failure> {
    allow(&state, &headers)?;
    let rows = state
        .office
        .run(|office| {
            let people = office.desk().people().iter().zip(office.people()).enumerate();
            let row = |(number, (person, row)): (
                usize,
                (&perface_evidence::study::trial::Person, &crate::store::PersonRow),
            )| {
                let answered = person.asked.iter().filter(|asked| asked.answer.is_some()).count();
                let external = row.external.as_deref().unwrap_or("").replace('"', "\"\"");
                // A spreadsheet must not take a name for a formula.
                let guard = if external.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
                format!(
                    "{},\"{guard}{external}\",{},{answered},{},{}\n",
                    person_id(number),
                    utc(row.joined_at_ms),
                    u8::from(person.excluded()),
                    u8::from(person.withdrawn)
                )
            };
            Ok(people.map(row).collect::<String>())
        })
        .await?;
    table("people.csv", format!("person_id,external,joined_at,answers,excluded,withdrawn\n{rows}").into_bytes())
}

fn table(name: &str, bytes: Vec<u8>) -> Result<Response, Failure> {
    let attachment = format!("attachment; filename=\"{name}\"");
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, attachment)];
    Ok((headers, bytes).into_response())
}
