//! `perface study serve` and `simulate`: the sibling program `perface-web`, which has a server and a database in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use perface::candidates::Reader;
use perface::parallel::in_parallel;
use perface_evidence::study::render::PICTURES;
use perface_evidence::study::{Place, SampleKind, Study};

use crate::args::Common;
use crate::output::Outcome;
use crate::progress;
use crate::session::Session;

/// The sibling's name.
const PROGRAM: &str = "perface-web";

/// Options of `study serve`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface study serve study/\n  perface study serve study/ --listen 0.0.0.0:8737 --completion-code C1A2B3\n\n\
                  Further options go to perface-web; see `perface-web serve --help`."
)]
pub struct Serve {
    /// The study's folder.
    study: PathBuf,
    /// Options of `perface-web serve`, such as --listen, --completion-code, --completion-url.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

impl Serve {
    pub fn run(&self) -> Result<Outcome> {
        let status = sibling()?.arg("serve").arg(&self.study).args(&self.options).status().context(PROGRAM)?;
        Ok(if status.success() { Outcome::Done } else { Outcome::Failure })
    }
}

/// Options of `study simulate`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  perface study simulate study/ --model sface --people 6\n\nNobody is asked: the study must have been \
                  designed with --simulated, and its table says derived.\nFurther options go to perface-web and come last; \
                  see `perface-web simulate --help`."
)]
pub struct Simulate {
    /// The study's folder.
    study: PathBuf,
    /// Let people mostly prefer the face this embedder finds closer; by default each sample's answer is drawn at random.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Options of `perface-web simulate`, such as --people, --careless, --leaving, --seed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

/// Difference of two cosines at which three of four simulated people choose the closer face.
const THREE_OF_FOUR: f64 = 0.06;

impl Simulate {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        if self.options.iter().any(|option| option == "--model" || option.starts_with("--model=")) {
            let reason = "--model comes before the options of perface-web, such as --people";
            return Err(perface::Error::Usage(reason.to_owned()).into());
        }
        let mut command = sibling()?;
        command.arg("simulate").arg(&self.study).args(&self.options);
        if let Some(model) = &self.model {
            let path = self.study.join("simulated_preferences.csv");
            let reader = Session::open(common)?.reader(model)?;
            std::fs::write(&path, preferences(&self.study, &reader, common)?)
                .with_context(|| path.display().to_string())?;
            command.arg("--preferences").arg(path);
        }
        let status = command.status().context(PROGRAM)?;
        Ok(if status.success() { Outcome::Done } else { Outcome::Failure })
    }
}

/// The probability of choosing A for every sample, from the cosines of its pictures.
fn preferences(folder: &Path, reader: &Reader, common: &Common) -> Result<String> {
    let study = Study::read(folder)?;
    let samples: Vec<_> = study.of_kind(SampleKind::Real).collect();
    let bar = progress::bar(samples.len(), "samples", common.quiet);
    let scale = THREE_OF_FOUR / 3f64.ln();
    let lines = in_parallel(&samples, |sample| -> perface::Result<String> {
        let embed = |place| reader.embed_file(&folder.join(PICTURES).join(sample.picture(place)));
        let [c, a, b] = [embed(Place::C)?, embed(Place::A)?, embed(Place::B)?];
        bar.inc(1);
        let difference = f64::from(c.cosine(&a) - c.cosine(&b));
        Ok(format!("{},{:.6}\n", sample.id, 1.0 / (1.0 + (-difference / scale).exp())))
    });
    bar.finish_and_clear();
    let lines: String = lines.into_iter().collect::<perface::Result<_>>()?;
    Ok(format!("sample_id,p_a\n{lines}"))
}

/// The program beside this one, or on the path.
pub fn sibling() -> Result<Command> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(PROGRAM)));
    let name = beside.filter(|path| path.with_extension(std::env::consts::EXE_EXTENSION).is_file());
    let mut command = Command::new(name.unwrap_or_else(|| PROGRAM.into()));
    let there = command.arg("--version").output().is_ok_and(|output| output.status.success());
    let reason = "perface-web is not there. It is a program of its own, so that photos can be anonymised without a server \
                  being built; to build it beside this one, say in PerFace's folder:\n  cargo build --release -p perface-web";
    anyhow::ensure!(there, "{reason}");
    Ok(Command::new(command.get_program()))
}
