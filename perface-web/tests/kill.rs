//! The server is killed 50 times while people answer; every answer it acknowledged is there afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perface::atomic::Overwrite;
use perface_web::simulate::placeholder_study;
use perface_web::store::Store;
use serde_json::{Value, json};

const KILLS: usize = 50;
const PEOPLE: usize = 3;

fn serve(study: &Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_perface-web"))
        .args(["serve", study.to_str().unwrap(), "--listen", "127.0.0.1:0", "--placeholders"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening at ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    (child, address)
}

/// One request on an open connection; `None` if the server went away.
fn request(stream: &mut TcpStream, method: &str, path: &str, token: &str, body: &str) -> Option<Value> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length: usize = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        if bytes.len() >= end + 4 + length {
            assert!(head.starts_with("http/1.1 200"), "{head}");
            return serde_json::from_slice(&bytes[end + 4..end + 4 + length]).ok();
        }
    }
}

#[test]
fn fifty_kills_lose_no_acknowledged_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut study = placeholder_study(80, 80, 5);
    // Nobody is excluded, so that each question has one answer to look for.
    study.rules = perface_evidence::study::Rules { min_ms: 0, dummy_every: 0, repeat_every: 0, k: 9, ..study.rules };
    study.write(folder.path(), Overwrite::Never).unwrap();
    // Answers acknowledged to each person.
    let acknowledged: Arc<Mutex<HashMap<usize, usize>>> = Arc::default();
    let mut tokens: Vec<String> = Vec::new();
    for round in 0..KILLS {
        let (mut server, address) = serve(folder.path());
        if tokens.is_empty() {
            for _ in 0..PEOPLE {
                let mut stream = TcpStream::connect(&address).unwrap();
                let body = json!({ "consent": true }).to_string();
                let reply = request(&mut stream, "POST", "/api/people", "", &body).unwrap();
                tokens.push(reply["token"].as_str().unwrap().to_owned());
            }
        }
        let people: Vec<_> = tokens
            .iter()
            .cloned()
            .enumerate()
            .map(|(person, token)| {
                let (address, acknowledged) = (address.clone(), acknowledged.clone());
                std::thread::spawn(move || {
                    let Ok(mut stream) = TcpStream::connect(&address) else { return };
                    let Some(mut next) = request(&mut stream, "GET", "/api/next", &token, "") else { return };
                    loop {
                        let had = acknowledged.lock().unwrap().get(&person).copied().unwrap_or(0);
                        let has = next["answered"].as_u64().unwrap() as usize;
                        // An answer may be on the disk whose acknowledgement the kill cut off: one more at most.
                        assert!(has >= had, "{had} answers were acknowledged, {has} are there");
                        acknowledged.lock().unwrap().insert(person, has);
                        let body =
                            json!({ "question": next["question"]["id"], "choice": "left", "ms": 900 }).to_string();
                        match request(&mut stream, "POST", "/api/answers", &token, &body) {
                            Some(reply) => next = reply,
                            None => return,
                        }
                    }
                })
            })
            .collect();
        // From the first moments of a connection to the middle of a busy stretch.
        std::thread::sleep(Duration::from_millis(20 + (round as u64 * 37) % 180));
        server.kill().unwrap();
        server.wait().unwrap();
        people.into_iter().for_each(|person| person.join().unwrap());
    }
    let (_, desk) = Store::open(folder.path(), &study).unwrap().load(&study, |_| true).unwrap();
    let acknowledged = acknowledged.lock().unwrap();
    let mut all = 0;
    for (person, acknowledged) in acknowledged.iter() {
        let asked = &desk.people()[*person].asked;
        let has = asked.iter().filter(|asked| asked.answer.is_some()).count();
        assert!(has >= *acknowledged, "person {person}: {acknowledged} acknowledged, {has} on the disk");
        let distinct: std::collections::HashSet<_> = asked.iter().map(|asked| asked.sample).collect();
        assert_eq!(distinct.len(), asked.len(), "no sample twice");
        all += has;
    }
    assert!(all > KILLS, "too few answers were given to tell anything: {all}");
}
