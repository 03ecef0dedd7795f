//! One line that says how a run goes: renewed on a terminal, once in a while otherwise.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use perface_train::trainer::Step;

/// Time between lines.
const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(30);

/// The line of one run.
pub struct ProgressLine {
    quiet: bool,
    terminal: bool,
    seed: u64,
    epochs: usize,
    shown: Option<Instant>,
}

impl ProgressLine {
    /// Of the run with this seed.
    pub fn new(quiet: bool, seed: u64, epochs: usize) -> Self {
        Self { quiet, terminal: std::io::stderr().is_terminal(), seed, epochs, shown: None }
    }

    /// Show where the run is.
    pub fn show(&mut self, step: &Step) {
        let pause = if self.terminal { ON_TERMINAL } else { ELSEWHERE };
        if self.quiet || self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let seconds = step.left.as_secs();
        let line = format!(
            "seed {} epoch {}/{} batch {}/{}  loss {:.4}  active {:.2}  {:.0} pictures/s  {}:{:02} left",
            self.seed,
            step.epoch + 1,
            self.epochs,
            step.batch,
            step.batches,
            step.loss,
            step.active,
            step.pictures_per_s,
            seconds / 60,
            seconds % 60
        );
        let mut stderr = std::io::stderr().lock();
        // Nothing is left to tell if even the terminal is gone.
        let _ = if self.terminal { write!(stderr, "\r{line}\x1b[K") } else { writeln!(stderr, "{line}") };
    }

    /// Leave the line.
    pub fn finish(&mut self) {
        if self.terminal && self.shown.is_some() {
            eprintln!();
        }
    }
}
