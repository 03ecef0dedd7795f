//! `perface reproduce` and `eval groups` on a folder in the layout of CelebAMask-HQ, with pictures of the test data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Faces of each of the four groups.
const EACH: usize = 6;

/// A folder like CelebAMask-HQ's with pictures of adults from `omi`, labelled as its raters saw them.
fn celeba(omi: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("CelebA-HQ-img")).unwrap();
    let list = fs::read_to_string(omi.join("attributes.csv")).unwrap();
    let mut lines = list.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let column = |name: &str| names.iter().position(|n| *n == name).unwrap();
    let (image, age, gender) = (column("image"), column("age"), column("gender"));
    let (mut rows, mut counts) = (String::new(), [[0; 2]; 2]);
    for row in lines {
        let (age, male): (f32, bool) = (row[age].parse().unwrap(), row[gender].parse::<f32>().unwrap() > 50.0);
        let count = &mut counts[usize::from(male)][usize::from(age > 40.0)];
        if !(20.0..34.0).contains(&age) && !(42.0..70.0).contains(&age) || *count == EACH {
            continue;
        }
        *count += 1;
        let number = rows.lines().count();
        fs::copy(omi.join("images").join(row[image]), folder.path().join(format!("CelebA-HQ-img/{number}.jpg")))
            .unwrap();
        let sign = |truth: bool| if truth { " 1" } else { "-1" };
        writeln!(rows, "{number}.jpg  -1 {} -1 {}", sign(male), sign(age < 40.0)).unwrap();
    }
    let count = rows.lines().count();
    assert_eq!(count, 4 * EACH);
    let text = format!("{count}\nEyeglasses Male Wearing_Hat Young \n{rows}");
    fs::write(folder.path().join("CelebAMask-HQ-attribute-anno.txt"), text).unwrap();
    folder
}

#[test]
fn celebamask_hqs_own_folder_is_enough_for_table_4() {
    let root = std::env::var_os("PERFACE_TESTDATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let omi = root.join("omi");
    if !omi.is_dir() {
        eprintln!("skipped 1 test: a folder like CelebAMask-HQ's needs omi/ of the test data; set PERFACE_TESTDATA");
        return;
    }
    let folder = celeba(&omi);
    let (excluded, out) = (folder.path().join("used.csv"), folder.path().join("out"));
    fs::write(&excluded, "image\n0.jpg\n5.jpg\nelsewhere.jpg\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_perface"))
        .args(["reproduce", "--quiet", "--model", "sface", "--draw", "2,2", "--groups"])
        .arg(folder.path())
        .arg("--exclude")
        .arg(&excluded)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("2 faces of"), "{said}");
    assert!(!said.contains("wrote"), "--quiet: {said}");
    let result: Value = serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap();
    let evaluation = &result["groups"]["models"][0];
    assert_eq!(evaluation["model"], "sface");
    let missing = result["missing"].to_string();
    assert!(missing.contains("SimCelebA") && !missing.contains("Table 4"), "{missing}");
    // The list of the draw is kept: two and two of each group, none of the excluded.
    let drawn = fs::read_to_string(out.join("drawn.csv")).unwrap();
    let with = |role: &str| drawn.lines().filter(|line| line.ends_with(role)).count();
    assert_eq!((with(",gallery"), with(",query")), (8, 8), "{drawn}");
    assert!(!drawn.contains("/0.jpg") && !drawn.contains("/5.jpg"), "{drawn}");
    // Beside the published figures, and without the word of a stand-in.
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("0.764") && page.contains("0.793") && !page.contains("STAND-IN"));
}
