//! What can go wrong, with the file, model or shape it went wrong with.

use std::path::PathBuf;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure a caller may want to tell from another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not a picture that can be used.
    #[error("{path}: {reason}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not, and what would help.
        reason: String,
    },
    /// A table, manifest or options file does not say what it must.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong, with the line where there is one.
        reason: String,
    },
    /// A file is not the one its card pins.
    #[error("{what}: SHA-256 is {got}, expected {want}")]
    Hash {
        /// The file or archive.
        what: String,
        /// What was found.
        got: String,
        /// What was pinned.
        want: String,
    },
    /// A pack could not be fetched.
    #[error("could not fetch {what}: {reason}")]
    Fetch {
        /// The pack.
        what: String,
        /// What the package client said, and the remedy.
        reason: String,
    },
    /// A network file could not be read, repaired or loaded.
    #[error("{model}: {reason}")]
    Model {
        /// The model's name.
        model: String,
        /// What the runtime or reader said.
        reason: String,
    },
    /// A network's input or output is not what its card promises.
    #[error("{model}: {what} is {got:?}, expected {want:?}")]
    Shape {
        /// The model's name.
        model: String,
        /// Which input or output.
        what: String,
        /// Shape found.
        got: Vec<usize>,
        /// Shape promised.
        want: Vec<usize>,
    },
    /// An option has a value that cannot be used.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// Attach a path to a system error; made for `map_err`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// A network that cannot be used, and why.
    pub fn model(model: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Model { model: model.into(), reason: reason.to_string() }
    }
}
