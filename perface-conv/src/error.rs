//! What can go wrong.

/// Why a network cannot be built, loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The graph asks for something that no kernel here does.
    #[error("network: {0}")]
    Graph(String),
    /// No parameter has this name.
    #[error("no parameter is called {0}")]
    NoParam(String),
    /// Numbers given for `what` are not as many as wanted.
    #[error("{what}: {got} numbers, {want} wanted")]
    Length {
        /// The parameter or input.
        what: String,
        /// How many were given.
        got: usize,
        /// How many it takes.
        want: usize,
    },
    /// `backward` without a training `forward` before it.
    #[error("no training pass to go back through")]
    NoForward,
    /// The threads could not be started.
    #[error("threads: {0}")]
    Threads(String),
}
