//! What the server prints says nothing that would let anybody in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use perface::atomic::Overwrite;
use perface_web::auth::researcher_token;
use perface_web::simulate::placeholder_study;

/// The whole reply to one request.
fn request(address: &str, line: &str, token: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn neither_the_researchers_token_nor_a_personal_link_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    placeholder_study(2, 2, 1).write(folder.path(), Overwrite::Never).unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_perface-web"))
        .args(["serve", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "--placeholders"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    let mut printed = String::new();
    stdout.read_line(&mut printed).unwrap();
    let address = printed.trim().strip_prefix("listening at ").unwrap().to_owned();
    let researcher = researcher_token(folder.path()).unwrap();
    let joined = request(&address, "POST /api/people", "", "{\"consent\":true}");
    let person = joined.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    assert!(request(&address, "GET /api/next", &person, "").starts_with("HTTP/1.1 200"));
    assert!(request(&address, "GET /api/researcher/progress", &researcher, "").starts_with("HTTP/1.1 200"));
    // Also where something is refused.
    let forged = request(&address, "POST /api/answers", &person, "{\"question\":\"x\",\"choice\":\"left\",\"ms\":9}");
    assert!(forged.starts_with("HTTP/1.1 409"), "{forged}");
    assert!(request(&address, "GET /api/researcher/progress", &person, "").starts_with("HTTP/1.1 401"));
    server.kill().unwrap();
    stdout.read_to_string(&mut printed).unwrap();
    server.stderr.take().unwrap().read_to_string(&mut printed).unwrap();
    server.wait().unwrap();
    for secret in [&researcher, &person] {
        assert!(secret.len() >= 32 && !printed.contains(secret.as_str()), "{printed}");
    }
}
