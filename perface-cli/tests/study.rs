//! `perface study` on lists without pictures: what it draws, what it writes, how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn study(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perface")).arg("study").args(arguments).arg("--quiet").output().unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// A folder with `count` labelled faces and no pictures.
fn faces(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut list = "image,gender,age\n".to_owned();
    for n in 0..count {
        let _ =
            writeln!(list, "{n}.jpg,{},{}", if n % 2 == 0 { "male" } else { "female" }, if n < 4 { 17 } else { 30 });
    }
    fs::write(folder.path().join("groups.csv"), list).unwrap();
    folder
}

/// A design of 4 × 4 samples in `faces`/study.
fn designed(faces: &Path) -> std::path::PathBuf {
    let out = faces.join("study");
    let output = study(&[
        "design",
        faces.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--targets=4",
        "--triplets=4",
        "--dummies=2",
        "--practice=1",
        "--no-check",
        "--json",
    ]);
    assert!(output.status.success(), "{output:?}");
    out
}

#[test]
fn every_step_has_help_with_an_example() {
    for step in ["", "design", "render", "serve", "simulate", "close", "import"] {
        let output = study(&[step, "--help"].into_iter().filter(|a| !a.is_empty()).collect::<Vec<_>>());
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Example"), "{step}");
    }
}

#[test]
fn a_design_is_drawn_once_and_without_minors() {
    let faces = faces(60);
    let out = designed(faces.path());
    let design: serde_json::Value = serde_json::from_str(&text(&out.join("study.json"))).unwrap();
    assert_eq!(design["samples"].as_array().unwrap().len(), 16 + 2 + 1);
    for n in 0..4 {
        assert!(!text(&out.join("study.json")).contains(&format!("\"../{n}.jpg\"")), "minor {n}");
    }
    assert!(out.join("texts/information.txt").is_file());
    let again = study(&["design", faces.path().to_str().unwrap(), "--out", out.to_str().unwrap(), "--no-check"]);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    let too_many = study(&["design", faces.path().to_str().unwrap(), "--out", "/tmp/none-made", "--no-check"]);
    assert_eq!(too_many.status.code(), Some(2), "{too_many:?}");
    assert!(String::from_utf8_lossy(&too_many.stderr).contains("too few"));
}

#[test]
fn votes_become_a_table_and_a_report() {
    let faces = faces(60);
    let out = designed(faces.path());
    let mut votes = "sample,who,answer\n".to_owned();
    for target in 1..=4 {
        for source in 1..=4 {
            for person in 1..=3 {
                let choice = if person == 3 && source == 1 { "B" } else { "A" };
                let _ = writeln!(votes, "t{target:03}-s{source:03},p{person},{choice}");
            }
        }
    }
    let path = faces.path().join("theirs.csv");
    fs::write(&path, votes).unwrap();
    let output = study(&[
        "close",
        out.to_str().unwrap(),
        "--votes",
        path.to_str().unwrap(),
        "--columns=sample_id=sample,person_id=who,choice=answer",
        "--test=0.5",
        "--json",
    ]);
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (report["samples"]["d1_majority"].as_u64(), report["samples"]["d2_unanimous"].as_u64()),
        (Some(16), Some(12))
    );
    let table = text(&out.join("triplets.csv"));
    assert_eq!(table.lines().count(), 17);
    assert!(table.contains(
        "t001-s001,t001,s001,pictures/t001/s001c.jpg,pictures/t001/s001a.jpg,pictures/t001/s001b.jpg,2,1,real,"
    ));
    assert!(text(&out.join("study_report.html")).contains("Krippendorff"));
}

#[test]
fn anothers_answers_are_imported_by_their_own_names() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("theirs.csv"), folder.path().join("out"));
    fs::write(&path, "anchor,L,R,said\nc.png,x.png,y.png,left\nc.png,x.png,y.png,right\nc.png,x.png,y.png,left\n")
        .unwrap();
    let import = |choices: &str| {
        study(&[
            "import",
            path.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--columns=reference=anchor,a=L,b=R,choice=said",
            choices,
            "--no-split",
        ])
    };
    let output = import("--choices=a=left,b=right");
    assert!(output.status.success(), "{output:?}");
    assert!(text(&out.join("triplets.csv")).contains("c.png,x.png,y.png,2,1,real"));
    assert_eq!(import("--choices=a=l,b=r").status.code(), Some(1));
}
