//! How long "next question" takes with 100 people answering at once, on loopback with a real disk.
//!
//! `cargo run --release -p perface-web --example load -- 100 20`: people, seconds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use perface::atomic::Overwrite;
use perface_web::simulate::placeholder_study;
use perface_web::store::Store;
use perface_web::{Options, State, app};
use serde_json::{Value, json};

/// People look at faces for a while: one answer in so many milliseconds each.
const PACE_MS: u64 = 1000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (people, seconds) = (arguments.next().unwrap_or(Ok(100))?, arguments.next().unwrap_or(Ok(20))?);
    let folder = std::env::temp_dir().join(format!("perface-load-{}", std::process::id()));
    let mut study = placeholder_study(80, 80, 20);
    study.rules.k = 99;
    study.write(&folder, Overwrite::Never)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let state = State::open(&folder, Options { placeholders: true, ..Default::default() })?;
    runtime.spawn(async move { axum::serve(listener, app(state)).await });
    let until = Instant::now() + Duration::from_secs(seconds);
    let threads: Vec<_> = (0..people)
        .map(|nth| std::thread::spawn(move || answer(&address.to_string(), until, nth * PACE_MS / people)))
        .collect();
    let (mut times, mut given) = (Vec::new(), 0);
    for thread in threads {
        let (own, answers) = thread.join().map_err(|_| anyhow::anyhow!("a person failed"))??;
        times.extend(own);
        given += answers;
    }
    times.sort_by(f64::total_cmp);
    let at = |q: f64| times.get((q * (times.len() - 1) as f64) as usize).copied().unwrap_or(f64::NAN);
    let (_, desk) = Store::open(&folder, &study)?.load(&study, |_| true)?;
    let kept: usize = desk.people().iter().flat_map(|p| &p.asked).filter(|asked| asked.answer.is_some()).count();
    println!("{people} people, {given} answers acknowledged, {kept} on the disk");
    println!("next question: median {:.1} ms, p95 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.95), at(0.99));
    std::fs::remove_dir_all(&folder)?;
    ensure!(kept == given, "answers were lost or counted twice");
    Ok(())
}

fn answer(address: &str, until: Instant, offset_ms: u64) -> Result<(Vec<f64>, usize)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let token = request(&mut stream, "POST", "/api/people", "", &json!({ "consent": true }))?;
    let token = token["token"].as_str().context("no token")?.to_owned();
    let mut next = request(&mut stream, "GET", "/api/next", &token, &Value::Null)?;
    std::thread::sleep(Duration::from_millis(offset_ms));
    let mut times = Vec::new();
    while Instant::now() < until && next["state"] == "ask" {
        std::thread::sleep(Duration::from_millis(PACE_MS));
        let body = json!({ "question": next["question"]["id"], "choice": "left", "ms": PACE_MS });
        let start = Instant::now();
        next = request(&mut stream, "POST", "/api/answers", &token, &body)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let answers = times.len();
    Ok((times, answers))
}

fn request(stream: &mut TcpStream, method: &str, path: &str, token: &str, body: &Value) -> Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let n = stream.read(&mut chunk)?;
        ensure!(n > 0, "the server closed the connection");
        bytes.extend_from_slice(&chunk[..n]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.context("no length")?.parse()?;
        if bytes.len() >= end + 4 + length {
            ensure!(head.starts_with("http/1.1 200"), "{head}");
            return Ok(serde_json::from_slice(&bytes[end + 4..end + 4 + length])?);
        }
    }
}
