//! `perface anonymize --dry-run`: what would be changed.

use anyhow::Result;
use perface::tree::Inputs;

use super::anonymize::Anonymize;
use crate::args::Common;
use crate::output::Outcome;
use crate::session::Session;

/// Find the faces of all photos and write sheets that show them.
pub fn run(_options: &Anonymize, _session: &Session, _inputs: &Inputs, _common: &Common) -> Result<Outcome> {
    Ok(Outcome::Done)
}
