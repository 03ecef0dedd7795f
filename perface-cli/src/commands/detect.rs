//! `perface detect`: where the faces are.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::detect::{DetectorOptions, Face};
use perface::photo::{self, Limits};
use perface::tree;
use serde::Serialize;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::Session;

/// Options of `detect`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface detect group.jpg --json")]
pub struct Detect {
    /// Photos or folders.
    #[arg(required = true)]
    photos: Vec<PathBuf>,
    /// Report faces from this score on, in [0, 1].
    #[arg(long, default_value_t = DetectorOptions::default().min_score)]
    min_score: f32,
    /// Look at each photo once, at its own size and upright, as other programs do.
    #[arg(long)]
    once: bool,
}

#[derive(Serialize)]
struct Found {
    input: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    faces: Vec<Face>,
}

impl Detect {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let detector = session.detector(DetectorOptions { min_score: self.min_score, ..Default::default() })?;
        let inputs = tree::inputs(&self.photos, None)?;
        let mut found: Vec<Found> = inputs
            .photos
            .iter()
            .map(|input| {
                let faces = photo::read(&input.source, &Limits::default()).and_then(|photo| match self.once {
                    true => detector.detect_once(&photo.pixels),
                    false => detector.detect(&photo.pixels),
                });
                let (faces, error) = match faces {
                    Ok(faces) => (faces, None),
                    Err(error) => (Vec::new(), Some(error.to_string())),
                };
                Found { input: input.source.clone(), error, faces }
            })
            .collect();
        for error in inputs.failed {
            found.push(Found { input: PathBuf::new(), error: Some(error.to_string()), faces: Vec::new() });
        }
        if found.is_empty() {
            return Err(perface::Error::Usage("no photo was found".to_owned()).into());
        }
        output::print(common.json, &found, |found| text(found))?;
        Ok(if found.iter().any(|f| f.error.is_some()) {
            Outcome::SomeUnreadable
        } else if found.iter().any(|f| f.faces.is_empty()) {
            Outcome::SomeObscured
        } else {
            Outcome::Done
        })
    }
}

fn text(found: &[Found]) -> String {
    let mut out = String::new();
    for Found { input, error, faces } in found {
        let _ = match error {
            Some(error) => writeln!(out, "{error}"),
            None => {
                writeln!(out, "{}: {} face{}", input.display(), faces.len(), if faces.len() == 1 { "" } else { "s" })
            }
        };
        for face in faces {
            let b = face.box_px;
            let (w, h) = (b.width(), b.height());
            let _ = writeln!(
                out,
                "  left {:.0} top {:.0} width {w:.0} height {h:.0}  score {:.2}",
                b.left, b.top, face.score
            );
        }
    }
    out
}
