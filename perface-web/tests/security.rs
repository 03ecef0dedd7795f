//! What must be refused, one test each; and what pages and pictures may tell.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use axum::http::{Method, StatusCode, header};
use common::{block_on, get, join, open, post, send, small_study};
use perface_evidence::study::Place;
use perface_evidence::study::render::SHOWN;
use perface_web::auth::researcher_token;
use perface_web::{CONTENT_SECURITY_POLICY, MAX_BODY_BYTES, Options, State, app};
use serde_json::json;

#[test]
fn nobody_takes_part_without_consent() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        for body in [json!({ "consent": false }), json!({}), json!({ "consent": "yes" })] {
            assert_eq!(post(&app, "/api/people", None, &body).await.status, StatusCode::BAD_REQUEST, "{body}");
        }
    });
}

#[test]
fn without_a_known_token_there_are_no_questions() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        let token = join(&app).await;
        let one_off = format!("{}{}", &token[..31], if token.ends_with('0') { '1' } else { '0' });
        for token in [None, Some(""), Some("0"), Some(one_off.as_str())] {
            assert_eq!(get(&app, "/api/next", token).await.status, StatusCode::UNAUTHORIZED, "{token:?}");
            assert_eq!(send(&app, Method::DELETE, "/api/me", token, "").await.status, StatusCode::UNAUTHORIZED);
        }
    });
}

#[test]
fn forged_questions_are_refused() {
    let (folder, study) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        let token = join(&app).await;
        get(&app, "/api/next", Some(&token)).await;
        for question in ["", "0", study.samples[0].id.as_str(), &"0".repeat(32)] {
            let answer = json!({ "question": question, "choice": "left", "ms": 900 });
            assert_eq!(
                post(&app, "/api/answers", Some(&token), &answer).await.status,
                StatusCode::CONFLICT,
                "{question}"
            );
        }
        assert_eq!(get(&app, "/api/next", Some(&token)).await.json()["answered"], 0);
    });
}

#[test]
fn the_next_question_cannot_be_answered_before_the_open_one() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        let token = join(&app).await;
        let next = get(&app, "/api/next", Some(&token)).await.json();
        let answer = json!({ "question": next["upcoming"]["id"], "choice": "left", "ms": 900 });
        assert_eq!(post(&app, "/api/answers", Some(&token), &answer).await.status, StatusCode::CONFLICT);
    });
}

#[test]
fn nobody_answers_for_somebody_else() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        let (one, other) = (join(&app).await, join(&app).await);
        let question = get(&app, "/api/next", Some(&one)).await.json()["question"]["id"].clone();
        get(&app, "/api/next", Some(&other)).await;
        let answer = json!({ "question": question, "choice": "left", "ms": 900 });
        assert_eq!(post(&app, "/api/answers", Some(&other), &answer).await.status, StatusCode::CONFLICT);
        // Nor by adding a name to the answer.
        let named = json!({ "question": question, "choice": "left", "ms": 900, "person": 0 });
        assert_eq!(post(&app, "/api/answers", Some(&other), &named).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(post(&app, "/api/answers", Some(&one), &answer).await.status, StatusCode::OK);
    });
}

#[test]
fn an_answer_counts_once_however_often_it_is_sent() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        let token = join(&app).await;
        let question = get(&app, "/api/next", Some(&token)).await.json()["question"]["id"].clone();
        let answer = json!({ "question": question, "choice": "left", "ms": 900 });
        for _ in 0..3 {
            let reply = post(&app, "/api/answers", Some(&token), &answer).await;
            assert_eq!((reply.status, &reply.json()["answered"]), (StatusCode::OK, &json!(1)));
        }
        let other = json!({ "question": question, "choice": "right", "ms": 900 });
        assert_eq!(post(&app, "/api/answers", Some(&token), &other).await.status, StatusCode::CONFLICT);
        let researcher = researcher_token(folder.path()).unwrap();
        let votes = get(&app, "/api/researcher/votes.csv", Some(&researcher)).await;
        assert_eq!(String::from_utf8(votes.body).unwrap().lines().count(), 2, "the header and one answer");
    });
}

#[test]
fn oversized_and_malformed_bodies_are_refused() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        let token = join(&app).await;
        let long = format!("{{\"question\":\"{}\",\"choice\":\"left\",\"ms\":1}}", "x".repeat(MAX_BODY_BYTES));
        for body in [
            long.as_str(),
            "",
            "{",
            "[]",
            "\u{0}",
            "{\"question\":1,\"choice\":\"left\",\"ms\":1}",
            "{\"question\":\"x\",\"choice\":\"both\",\"ms\":1}",
            "{\"question\":\"x\",\"choice\":\"left\",\"ms\":-1}",
        ] {
            let reply = send(&app, Method::POST, "/api/answers", Some(&token), body.to_owned()).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", &body[..body.len().min(60)]);
        }
        let named = json!({ "consent": true, "external": "x".repeat(1000) });
        assert_eq!(post(&app, "/api/people", None, &named).await.status, StatusCode::BAD_REQUEST);
    });
}

#[test]
fn no_path_leads_out_of_what_is_served() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    block_on(async {
        for path in [
            "/static/../secret.txt",
            "/static/..%2fsecret.txt",
            "/static/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "/picture/..%2f..%2fsecret.txt",
            "/picture/..%2fstudy.json",
            "/picture/t001%2fs001c.jpg",
            "/picture/",
            "/study.json",
            "/answers.db",
            "/researcher.token",
            "//etc/passwd",
        ] {
            let reply = get(&app, path, None).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
            assert!(!String::from_utf8_lossy(&reply.body).contains("secret\n"));
        }
    });
}

#[test]
fn the_researchers_numbers_need_the_researchers_token() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    let right = researcher_token(folder.path()).unwrap();
    block_on(async {
        let person = join(&app).await;
        let one_off = format!("{}{}", &right[..31], if right.ends_with('0') { '1' } else { '0' });
        for path in ["/api/researcher/progress", "/api/researcher/votes.csv", "/api/researcher/people.csv"] {
            for token in [None, Some(""), Some(person.as_str()), Some(one_off.as_str()), Some(&right[..31])] {
                assert_eq!(get(&app, path, token).await.status, StatusCode::UNAUTHORIZED, "{path} {token:?}");
            }
            assert_eq!(get(&app, path, Some(&right)).await.status, StatusCode::OK);
            let in_query = format!("{path}?token={right}");
            assert_eq!(get(&app, &in_query, None).await.status, StatusCode::UNAUTHORIZED, "links are logged");
        }
    });
}

#[test]
fn every_reply_forbids_what_pages_do_not_need() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        for path in ["/", "/researcher", "/static/study.js", "/static/style.css", "/api/study", "/nothing"] {
            let reply = get(&app, path, None).await;
            assert_eq!(reply.headers[header::CONTENT_SECURITY_POLICY], CONTENT_SECURITY_POLICY, "{path}");
            assert_eq!(reply.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(reply.headers[header::REFERRER_POLICY], "no-referrer");
        }
        assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
        for path in ["/", "/researcher"] {
            let page = String::from_utf8(get(&app, path, None).await.body).unwrap();
            for inline in [" style=", "<style", " onclick", " onload", "javascript:", "http://", "https://"] {
                assert!(!page.contains(inline), "{path} has {inline}");
            }
            // Scripts have an address and no content.
            for script in page.split("<script").skip(1) {
                assert!(
                    script.starts_with(" src=\"/static/") && script.split_once('>').unwrap().1.starts_with("</script>")
                );
            }
        }
    });
}

#[test]
fn picture_names_and_sizes_tell_nothing() {
    let (folder, study) = small_study();
    // Real files, of other lengths each.
    for (place, sample) in study.samples.iter().enumerate() {
        for (nth, part) in Place::ALL.into_iter().enumerate() {
            let path = folder.path().join(SHOWN).join(sample.picture(part));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![b'x'; 1000 + 13 * place + 700 * nth]).unwrap();
        }
    }
    let state = State::open(folder.path(), Options::default()).unwrap();
    let app = app(state);
    block_on(async {
        let mut names = std::collections::HashSet::new();
        let mut lengths = std::collections::HashSet::new();
        for _ in 0..4 {
            let token = join(&app).await;
            for _ in 0..6 {
                let next = get(&app, "/api/next", Some(&token)).await.json();
                assert_eq!(next["state"], "ask");
                for side in ["above", "left", "right"] {
                    let path = next["question"][side].as_str().unwrap().to_owned();
                    let name = path.strip_prefix("/picture/").unwrap();
                    assert!(name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()));
                    let reply = get(&app, &path, None).await;
                    assert_eq!(reply.status, StatusCode::OK);
                    lengths.insert(reply.body.len());
                    assert!(names.insert(path), "a name is given once");
                }
                // The reply says nothing else of the sample.
                let text = next.to_string();
                assert!(
                    study.samples.iter().all(|s| !text.contains(&s.id))
                        && !text.contains("dummy")
                        && !text.contains("real")
                );
                let answer = json!({ "question": next["question"]["id"], "choice": "left", "ms": 900 });
                post(&app, "/api/answers", Some(&token), &answer).await;
                let gone = get(&app, next["question"]["above"].as_str().unwrap(), None).await;
                assert_eq!(gone.status, StatusCode::NOT_FOUND, "an answered question's pictures are gone");
                if get(&app, "/api/next", Some(&token)).await.json()["state"] != "ask" {
                    break;
                }
            }
        }
        assert_eq!(lengths.len(), 1, "{lengths:?}");
    });
}

#[test]
fn links_are_kept_as_hashes_only() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    let token = block_on(join(&app));
    let researcher = researcher_token(folder.path()).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("researcher.token") {
            let bytes = std::fs::read(&path).unwrap();
            for secret in [&token, &researcher] {
                assert!(!bytes.windows(32).any(|part| part == secret.as_bytes()), "{}", path.display());
            }
        }
    }
}

#[test]
fn withdrawal_deletes_the_answers_and_ends_the_link() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        let body = json!({ "consent": true, "external": "platform-id-4711" });
        let token = post(&app, "/api/people", None, &body).await.json()["token"].as_str().unwrap().to_owned();
        for _ in 0..3 {
            let question = get(&app, "/api/next", Some(&token)).await.json()["question"]["id"].clone();
            post(&app, "/api/answers", Some(&token), &json!({ "question": question, "choice": "left", "ms": 900 }))
                .await;
        }
        let reply = send(&app, Method::DELETE, "/api/me", Some(&token), "").await;
        assert_eq!((reply.status, &reply.json()["state"]), (StatusCode::OK, &json!("withdrawn")));
        assert_eq!(get(&app, "/api/next", Some(&token)).await.json()["state"], "withdrawn");
        let researcher = researcher_token(folder.path()).unwrap();
        let votes = get(&app, "/api/researcher/votes.csv", Some(&researcher)).await;
        assert_eq!(String::from_utf8(votes.body).unwrap().lines().count(), 1, "the header alone");
        for name in ["answers.db", "answers.db-wal"] {
            let bytes = std::fs::read(folder.path().join(name)).unwrap_or_default();
            assert!(!bytes.windows(16).any(|part| part == b"platform-id-4711"), "{name}");
        }
    });
}

#[test]
fn a_study_takes_no_more_people_than_allowed() {
    let (folder, _) = small_study();
    let options = Options { placeholders: true, max_people: 2, ..Default::default() };
    let app = app(State::open(folder.path(), options).unwrap());
    block_on(async {
        join(&app).await;
        join(&app).await;
        assert_eq!(post(&app, "/api/people", None, &json!({ "consent": true })).await.status, StatusCode::FORBIDDEN);
    });
}

#[test]
fn times_longer_than_the_question_was_open_are_cut() {
    let (folder, _) = small_study();
    let (app, _) = open(folder.path());
    block_on(async {
        let token = join(&app).await;
        let question = get(&app, "/api/next", Some(&token)).await.json()["question"]["id"].clone();
        post(&app, "/api/answers", Some(&token), &json!({ "question": question, "choice": "left", "ms": 3_600_000 }))
            .await;
        let researcher = researcher_token(folder.path()).unwrap();
        let votes = String::from_utf8(get(&app, "/api/researcher/votes.csv", Some(&researcher)).await.body).unwrap();
        let ms: u64 = votes.lines().nth(1).unwrap().split(',').nth(4).unwrap().parse().unwrap();
        assert!(ms < 600_000, "{ms}");
    });
}

#[test]
fn a_study_goes_on_where_it_was_after_a_restart() {
    let (folder, _) = small_study();
    let (token, before) = block_on(async {
        let (app, _) = open(folder.path());
        let token = join(&app).await;
        let question = get(&app, "/api/next", Some(&token)).await.json()["question"]["id"].clone();
        post(&app, "/api/answers", Some(&token), &json!({ "question": question, "choice": "left", "ms": 900 })).await;
        (token.clone(), get(&app, "/api/next", Some(&token)).await.json())
    });
    let (app, _) = open(folder.path());
    assert_eq!(block_on(get(&app, "/api/next", Some(&token))).json(), before);
}
