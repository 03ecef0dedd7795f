//! Which output belongs to which original, and what the run that made them says of its faces.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use perface::error::{Error, Result};
use perface::file::read_limited;
use perface::geometry::Rect;
use perface::report::{Report, Status, Verdict};
use perface::{batch, tree};

/// Largest report read; a face takes about 1 kB.
const MAX_REPORT_BYTES: u64 = 1 << 30;

/// An original and what was published for it.
#[derive(Clone, Debug, PartialEq)]
pub struct FilePair {
    /// The photo as it was.
    pub original: PathBuf,
    /// The photo that is published.
    pub output: PathBuf,
    /// The output's name, for messages.
    pub name: String,
    /// Faces that were left as they are on purpose.
    pub kept: Vec<Rect>,
}

/// What [`pairs`] found.
#[derive(Clone, Debug, Default)]
pub struct FilePairs {
    /// Originals with an output.
    pub pairs: Vec<FilePair>,
    /// Originals without one, and why if the run said so.
    pub without_output: Vec<(PathBuf, String)>,
    /// Outputs that belong to no original here.
    pub strays: Vec<PathBuf>,
    /// What could not be read or does not exist.
    pub failed: Vec<String>,
}

/// Where the report of the run into `outputs` lies, if there is one.
pub fn report_of(outputs: &Path) -> Option<PathBuf> {
    let path = batch::report_folder(outputs).join("report.json");
    path.is_file().then_some(path)
}

/// Pair every photo in `originals`, a file or folder, with its file in `outputs`: where `report` says, else the file
/// of the same relative path, as a run writes it.
///
/// # Errors
/// If `report` cannot be read, or both folders are one.
pub fn pairs(originals: &Path, outputs: &Path, report: Option<&Path>) -> Result<FilePairs> {
    let same = |a: &Path, b: &Path| a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(originals, outputs) {
        return Err(Error::Usage("originals and outputs are the same; there is nothing to compare".to_owned()));
    }
    let report: Option<Report> = match report {
        None => None,
        Some(path) => {
            let text = read_limited(path, MAX_REPORT_BYTES)?;
            let malformed = |e: serde_json::Error| Error::Malformed { path: path.to_owned(), reason: e.to_string() };
            Some(serde_json::from_slice(&text).map_err(malformed)?)
        }
    };
    let told: HashMap<PathBuf, usize> = report
        .iter()
        .flat_map(|report| report.photos.iter().enumerate())
        .map(|(index, photo)| (canonical(Path::new(&photo.input)), index))
        .collect();
    let mut found = FilePairs::default();
    let inputs = tree::inputs(&[originals.to_owned()], None)?;
    found.failed.extend(inputs.failed.iter().map(ToString::to_string));
    let single = outputs.is_file();
    for input in inputs.photos {
        let record = told.get(&canonical(&input.source)).and_then(|&i| report.as_ref()?.photos.get(i));
        let (relative, why) = match record {
            Some(record) => match &record.output {
                Some(output) => (PathBuf::from(output), String::new()),
                None => (input.output.clone(), status(record.status).to_owned()),
            },
            None => (input.output.clone(), String::new()),
        };
        let output = if single { outputs.to_owned() } else { outputs.join(&relative) };
        if !output.is_file() {
            let why = if why.is_empty() { "there is no such file among the outputs".to_owned() } else { why };
            found.without_output.push((input.source, why));
            continue;
        }
        let kept = record.map_or_else(Vec::new, |record| {
            record.faces.iter().filter(|f| f.verdict == Verdict::Kept).map(|f| f.box_px).collect()
        });
        let name = relative.to_string_lossy().into_owned();
        found.pairs.push(FilePair { original: input.source, output, name, kept });
    }
    if !single {
        let known: std::collections::HashSet<PathBuf> = found.pairs.iter().map(|p| canonical(&p.output)).collect();
        let all = tree::inputs(&[outputs.to_owned()], None)?.photos;
        found.strays = all.into_iter().map(|p| p.source).filter(|p| !known.contains(&canonical(p))).collect();
    }
    Ok(found)
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Done => "",
        Status::NoFace => "no face was found, so it was not written",
        Status::Unreadable => "could not be read, so it was not written",
        Status::Dropped => "a face could not be replaced, so it was not written",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn picture(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::new(4, 4).save(path).unwrap();
    }

    #[test]
    fn files_are_paired_by_relative_path_and_the_rest_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (ins, outs) = (folder.path().join("in"), folder.path().join("out"));
        for name in ["a/x.png", "b.png", "lost.png"] {
            picture(&ins.join(name));
        }
        // What was a bitmap is written as PNG.
        picture(&ins.join("c.bmp"));
        for name in ["a/x.png", "b.png", "c.png", "stray.png"] {
            picture(&outs.join(name));
        }
        let found = pairs(&ins, &outs, None).unwrap();
        let names: Vec<&str> = found.pairs.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["a/x.png", "b.png", "c.png"]);
        assert_eq!(found.without_output.len(), 1);
        assert_eq!(found.strays, [outs.join("stray.png")]);
        assert!(pairs(&ins, &ins, None).is_err());
    }

    #[test]
    fn the_report_says_where_a_file_went_and_which_face_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (ins, outs) = (folder.path().join("in"), folder.path().join("out"));
        picture(&ins.join("a.png"));
        picture(&ins.join("b.png"));
        picture(&outs.join("elsewhere.png"));
        let face = serde_json::json!({"box_px": {"left": 1.0, "top": 1.0, "right": 3.0, "bottom": 3.0}, "score": 0.9,
            "landmarks_px": vec![serde_json::json!({"x": 1.0, "y": 1.0}); 5], "verdict": "kept"});
        let report = serde_json::json!({"schema": 1, "tool": "", "runtime": "", "config": {}, "models": [],
            "photos": [{"input": ins.join("a.png"), "output": "elsewhere.png", "status": "done", "faces": [face]},
                {"input": ins.join("b.png"), "status": "dropped", "faces": []}],
            "summary": {"photos": 2, "faces": 1, "replaced": 0, "obscured": 0, "kept": 1, "no_face": 0, "dropped": 1,
                "unreadable": 0}, "timings_ms": {}});
        let path = folder.path().join("report.json");
        fs::write(&path, report.to_string()).unwrap();
        let found = pairs(&ins, &outs, Some(&path)).unwrap();
        assert_eq!((found.pairs.len(), found.pairs[0].kept.len()), (1, 1));
        assert!(found.without_output[0].1.contains("could not be replaced"));
        fs::write(&path, "{}").unwrap();
        assert!(pairs(&ins, &outs, Some(&path)).is_err());
    }
}
