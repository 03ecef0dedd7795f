//! Progress: a bar on a terminal, a line for each step otherwise.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use perface::model::pack::Progress;
use perface::model::store::OnProgress;

/// A bar over `total` items, or nothing if standard error is no terminal.
pub fn bar(total: usize, unit: &str, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{bar:32}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left  {{msg}}");
    let bar = ProgressBar::new(total as u64);
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows downloads on standard error.
pub fn downloads(quiet: bool) -> OnProgress {
    if quiet {
        return Arc::new(|_| {});
    }
    let terminal = std::io::stderr().is_terminal();
    let shown: Mutex<Option<(String, ProgressBar)>> = Mutex::new(None);
    Arc::new(move |progress: Progress| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref().is_none_or(|(what, _)| what != progress.what) {
            let bar = if terminal { download_bar(&progress) } else { ProgressBar::hidden() };
            if !terminal {
                eprintln!("fetching {} ({:.1} MB)", progress.what, progress.total_bytes as f64 / 1e6);
            }
            *shown = Some((progress.what.to_owned(), bar));
        }
        if let Some((_, bar)) = shown.as_ref() {
            bar.set_position(progress.done_bytes);
            if progress.done_bytes >= progress.total_bytes && !bar.is_finished() {
                bar.finish();
            }
        }
    })
}

fn download_bar(progress: &Progress) -> ProgressBar {
    let bar = ProgressBar::new(progress.total_bytes);
    if let Ok(style) = ProgressStyle::with_template("fetching {msg:32} {bar:24} {bytes}/{total_bytes} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(progress.what.to_owned());
    bar
}
