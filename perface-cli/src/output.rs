//! What a command ends with, and how results are printed.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

/// How a command ended; the number is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything asked for was done.
    Done = 0,
    /// The command failed.
    Failure = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// Some input could not be read.
    SomeUnreadable = 3,
    /// Some photo had no face, or a face was obscured.
    SomeObscured = 4,
    /// A gate failed.
    GateFailed = 5,
}

impl Outcome {
    /// The code for a command that ended with `error`.
    pub fn of_error(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<perface::Error>() {
            Some(perface::Error::Usage(_)) => Self::Usage,
            Some(perface::Error::Unreadable { .. }) => Self::SomeUnreadable,
            _ => Self::Failure,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}

/// Print `value` as JSON, or `text` made from it.
pub fn print<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    let out = if json { serde_json::to_string_pretty(value)? } else { text(value) };
    line(&out)
}

/// Print one line or block to standard output. A reader that has gone away is no error.
pub fn line(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// An error and its causes, without those that the text before them tells already.
pub fn in_words(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let system = std::io::Error::other("the disk is full");
        let error = anyhow::Error::new(perface::Error::io("a.jpg")(system)).context("the report could not be written");
        assert_eq!(in_words(&error), "the report could not be written: a.jpg: the disk is full");
    }
}
