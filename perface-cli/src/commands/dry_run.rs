//! `perface anonymize --dry-run`: what would be changed, for a person to review.

use std::path::PathBuf;

use anyhow::Result;
use perface::batch;
use perface::detect::{DetectorOptions, Face};
use perface::parallel::in_parallel;
use perface::photo::{self, Limits};
use perface::sheet::found::{FoundPhoto, found_pages};
use perface::tree::Inputs;
use serde::Serialize;

use super::anonymize::Anonymize;
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::Session;
use crate::sheets;

/// Name of the first sheet in the report folder.
const SHEET: &str = "found.png";

#[derive(Serialize)]
struct DryRun {
    sheets: Vec<PathBuf>,
    photos: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    input: PathBuf,
    output: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    faces: Vec<Face>,
}

/// Find the faces of all photos and write sheets that show them. No photo is written.
pub fn run(options: &Anonymize, session: &Session, inputs: &Inputs, common: &Common) -> Result<Outcome> {
    let detector = session.detector(DetectorOptions { min_score: options.min_score, ..Default::default() })?;
    let bar = progress::bar(inputs.photos.len(), "photos", common.quiet);
    let faces = in_parallel(&inputs.photos, |input| {
        let found = photo::read(&input.source, &Limits::default()).and_then(|photo| detector.detect(&photo.pixels));
        bar.inc(1);
        found.map_err(|error| error.to_string())
    });
    bar.finish_and_clear();
    let photos: Vec<FoundPhoto> = inputs
        .photos
        .iter()
        .zip(faces)
        .map(|(input, faces)| FoundPhoto {
            path: input.source.clone(),
            name: input.output.display().to_string(),
            faces,
        })
        .collect();
    let load = |photo: &FoundPhoto| Ok(photo::read(&photo.path, &Limits::default())?.pixels);
    let sheets = sheets::write(found_pages(&photos, load), &batch::report_folder(&options.out).join(SHEET))?;
    for error in &inputs.failed {
        eprintln!("perface: {error}");
    }
    let photos: Vec<Found> = photos
        .into_iter()
        .zip(&inputs.photos)
        .map(|(photo, input)| {
            let (faces, error) = match photo.faces {
                Ok(faces) => (faces, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            Found { input: photo.path, output: input.output.clone(), error, faces }
        })
        .collect();
    let unreadable = inputs.failed.len() + photos.iter().filter(|photo| photo.error.is_some()).count();
    let no_face = photos.iter().filter(|photo| photo.error.is_none() && photo.faces.is_empty()).count();
    let result = DryRun { sheets, photos };
    output::print(common.json, &result, |result| {
        let faces: usize = result.photos.iter().map(|photo| photo.faces.len()).sum();
        let mut out = format!(
            "{} photos, {faces} faces; {no_face} without a face, {unreadable} unreadable; nothing was written but:\n",
            result.photos.len()
        );
        for sheet in &result.sheets {
            out += &format!("  {}\n", sheet.display());
        }
        out
    })?;
    Ok(if unreadable > 0 {
        Outcome::SomeUnreadable
    } else if no_face > 0 {
        Outcome::SomeObscured
    } else {
        Outcome::Done
    })
}
