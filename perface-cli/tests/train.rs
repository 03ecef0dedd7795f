//! `perface train` on the built-in pool's pictures, with answers made up from their names: what it leaves, and bad input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn perface(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perface")).args(arguments).arg("--quiet").output().unwrap()
}

fn pool() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pool")
}

/// Questions whose answer is the face of the reference's own gender.
fn questions() -> String {
    let mut names: Vec<String> = fs::read_dir(pool())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".jpg") && !name.contains("smiling"))
        .collect();
    names.sort();
    let (women, men): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.contains("-female-"));
    let mut text = "reference,a,b,votes_a,votes_b,kind\n".to_owned();
    for (same, other) in [(&women, &men), (&men, &women)] {
        for (index, reference) in same.iter().enumerate() {
            for step in 1..6 {
                let (near, far) = (&same[(index + step) % same.len()], &other[(index * 3 + step) % other.len()]);
                text.push_str(&format!("{reference},{near},{far},3,0,derived\n"));
            }
        }
    }
    text
}

fn train(folder: &Path, list: &str, more: &[&str]) -> Output {
    let (path, out, pool) = (folder.join("triplets.csv"), folder.join("run"), pool());
    fs::write(&path, list).unwrap();
    let mut arguments = vec!["train", path.to_str().unwrap(), "--images", pool.to_str().unwrap()];
    arguments.extend(["--out", out.to_str().unwrap(), "--epochs", "2", "--json"]);
    arguments.extend(more);
    perface(&arguments)
}

const PICTURES: [&str; 6] = ["--split", "pictures", "--test-share", "0.3", "--val-share", "0.4"];

#[test]
fn a_head_is_trained_kept_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        train(folder.path(), &questions(), &[&PICTURES[..], &["--features", "maps", "--width", "16"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let run = folder.path().join("run");
    let record: serde_json::Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
    assert_eq!((record["schema"].as_u64(), record["derived"].as_bool()), (Some(1), Some(true)));
    assert!(record["test"]["i"]["n"].as_u64() > Some(0) && record["tau"].as_f64() > Some(0.0), "{record}");
    for name in ["model.onnx", "model.json", "curves.csv", "curves.svg", "test_cases.csv", "best.safetensors"] {
        assert!(run.join(name).is_file(), "{name}");
    }
    let again = train(folder.path(), &questions(), &[&PICTURES[..], &["--features", "maps", "--width", "16"]].concat());
    assert_eq!(again.status.code(), Some(2), "a folder in use: {again:?}");
    let resumed = train(
        folder.path(),
        &questions(),
        &[&PICTURES[..], &["--features", "maps", "--width", "16", "--resume"]].concat(),
    );
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    let after: serde_json::Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
    assert_eq!(after["test"], record["test"]);
}

#[test]
fn sources_known_in_advance_give_the_test_of_new_faces_against_them() {
    // Older women are the pool; young women are compared with two of them.
    let names = |part: &str| -> Vec<String> {
        let all = questions();
        let mut names: Vec<String> =
            all.split([',', '\n']).filter(|name| name.starts_with(part)).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    };
    let folder = tempfile::tempdir().unwrap();
    let known = folder.path().join("known");
    fs::create_dir(&known).unwrap();
    let (sources, others) = (names("older-female"), names("young-female"));
    for name in &sources {
        fs::copy(pool().join(name), known.join(name)).unwrap();
    }
    let mut list = "reference,a,b,votes_a,votes_b,kind\n".to_owned();
    for (index, reference) in others.iter().enumerate() {
        for step in 0..4 {
            let source = |k: usize| known.join(&sources[(index + k) % sources.len()]).display().to_string();
            list.push_str(&format!("{reference},{},{},3,0,derived\n", source(step), source(step + 1)));
        }
    }
    let output = train(
        folder.path(),
        &list,
        &["--sources", known.to_str().unwrap(), "--test-share", "0.4", "--val-share", "0.4"],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let record = fs::read(folder.path().join("run/run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert!(record["test"]["ii"]["n"].as_u64() > Some(0) && record["test"]["i"].is_null(), "{record}");
    let other = tempfile::tempdir().unwrap();
    let nothing = train(other.path(), &questions(), &["--sources", known.to_str().unwrap()]);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
}

#[test]
fn bad_lists_are_refused_with_the_reason() {
    let good = questions();
    let twice = good.replacen("young-female-02.jpg,", "young-female-01.jpg,", 40);
    let head = "reference,a,b,votes_a,votes_b,split\n";
    let leak = format!(
        "{head}young-male-02.jpg,young-male-03.jpg,young-male-04.jpg,3,0,train\n\
         young-male-02.jpg,young-male-05.jpg,young-male-06.jpg,3,0,i\n\
         young-male-07.jpg,young-male-08.jpg,young-male-09.jpg,3,0,val\n"
    );
    let empty = format!("{head}young-male-02.jpg,young-male-03.jpg,young-male-04.jpg,3,0,train\n");
    for (list, more, want) in [
        (&good, &[][..], "has no parts in a column split"),
        (&twice, &PICTURES[..], "must be three pictures"),
        (&leak, &[][..], "of test set i is in training too"),
        (&empty, &[][..], "none is left to stop by"),
        (&"reference,a,b\n".to_owned(), &[][..], "votes_a"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = train(folder.path(), list, more);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(want), "{want}: {message}");
        assert!(!folder.path().join("run/model.onnx").exists());
    }
}

#[test]
fn a_missing_picture_is_counted_or_refused() {
    let list = questions() + "nobody.jpg,young-male-02.jpg,young-male-03.jpg,3,0,derived\n";
    let folder = tempfile::tempdir().unwrap();
    let output = train(folder.path(), &list, &PICTURES);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "some input unreadable: {message}");
    assert!(message.contains("nobody.jpg") && message.contains("1 pictures"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let output = train(folder.path(), &list, &[&PICTURES[..], &["--strict"]].concat());
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("--strict"));
}

#[test]
fn a_picture_without_a_face_is_counted_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("wall.png");
    image::RgbImage::from_pixel(160, 120, image::Rgb([120, 110, 90])).save(&empty).unwrap();
    let list = questions() + &format!("{},young-male-02.jpg,young-male-03.jpg,3,0,derived\n", empty.display());
    let output = train(folder.path(), &list, &PICTURES);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "some input unreadable: {message}");
    assert!(message.contains("wall.png: no face was found"), "{message}");
    let record = fs::read(folder.path().join("run/run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert!(record["left_out"].to_string().contains("1"), "{record}");
    let folder = tempfile::tempdir().unwrap();
    let output = train(folder.path(), &list, &[&PICTURES[..], &["--strict"]].concat());
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("--strict"));
}

/// A limit on the size of files stands for a full disk: writing fails half-way in the same place.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    // The crops are in the cache after this; what is written next is the run.
    assert!(train(folder.path(), &questions(), &PICTURES).status.success());
    let (list, out, pool) = (folder.path().join("triplets.csv"), folder.path().join("full"), pool());
    let perface = [env!("CARGO_BIN_EXE_perface"), "train", list.to_str().unwrap(), "--quiet", "--epochs", "1"];
    let more = ["--images", pool.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$@\"";
    let arguments = perface.iter().chain(&more).chain(&PICTURES);
    let output = Command::new("sh").args(["-c", script, "sh"]).args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("best.safetensors"), "{message}");
    let left: Vec<_> =
        fs::read_dir(&out).map(|entries| entries.flatten().map(|e| e.file_name()).collect()).unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
}
