//! `perface-web`: serve a study, simulate its people, or write out its answers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use perface::atomic::{self, Overwrite};
use perface_evidence::study::{FILE_NAME, Study, texts, vote};
use perface_web::auth::RESEARCHER_FILE;
use perface_web::simulate::{self, Population};
use perface_web::store::Store;
use perface_web::{Completion, Options, State, app, office};

/// Ask people which of two faces is closer to a third.
#[derive(Parser)]
#[command(name = "perface-web", version, max_term_width = 100)]
#[command(after_help = "Example:\n  perface-web serve study/ --listen 127.0.0.1:8737")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a study.
    Serve(Serve),
    /// Let simulated people answer a study that says it is simulated.
    Simulate(Simulate),
    /// Write the answers as votes.csv, also while the study runs.
    Export(Export),
}

#[derive(Args)]
#[command(after_help = "Example:\n  perface-web serve study/ --completion-code C1A2B3\n\n\
    The server speaks plain HTTP: let a web server with a certificate stand before it, and do not let that one log \
    the Authorization header.")]
struct Serve {
    /// The study's folder.
    study: PathBuf,
    /// Address to listen at.
    #[arg(long, default_value = "127.0.0.1:8737", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address people use, for the links that are printed [default: http:// and the address listened at].
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Code people get at the end, to enter on a crowd platform.
    #[arg(long, value_name = "CODE")]
    completion_code: Option<String>,
    /// Page people go on to at the end.
    #[arg(long, value_name = "URL")]
    completion_url: Option<String>,
    /// Leave out samples whose pictures are missing.
    #[arg(long)]
    skip_missing: bool,
    /// Show a drawn face in place of every picture, to try out a study whose pictures are not made yet.
    #[arg(long)]
    placeholders: bool,
    /// Most people that may join.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    max_people: usize,
}

#[derive(Args)]
#[command(after_help = "Example:\n  perface-web simulate study/ --people 6 --seed 1")]
struct Simulate {
    /// The study's folder.
    study: PathBuf,
    /// How many people; those who are excluded are replaced.
    #[arg(long, default_value_t = 18, value_name = "N")]
    people: usize,
    /// How many of them answer without looking.
    #[arg(long, default_value_t = 1, value_name = "N")]
    careless: usize,
    /// How many of them leave half-way.
    #[arg(long, default_value_t = 1, value_name = "N")]
    leaving: usize,
    /// Probability of choosing the face fewer people would choose.
    #[arg(long, default_value_t = 0.15, value_name = "P")]
    noise: f64,
    /// List with the columns sample_id and p_a, the probability of choosing A.
    #[arg(long, value_name = "CSV")]
    preferences: Option<PathBuf>,
    /// Seed of all that is simulated.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
#[command(after_help = "Example:\n  perface-web export study/ --out votes.csv")]
struct Export {
    /// The study's folder.
    study: PathBuf,
    /// File to write.
    #[arg(long, value_name = "CSV")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(command) => serve(&command),
        Command::Simulate(command) => simulate(&command),
        Command::Export(command) => export(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("perface-web: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(command: &Serve) -> Result<()> {
    let _lock = lock(&command.study)?;
    texts::write_missing(&command.study)?;
    let options = Options {
        completion: Completion { code: command.completion_code.clone(), url: command.completion_url.clone() },
        placeholders: command.placeholders,
        skip_missing: command.skip_missing,
        max_people: command.max_people,
        ..Default::default()
    };
    let state = State::open(&command.study, options)?;
    for blank in state.blanks() {
        eprintln!("perface-web: fill in {blank} in {}", command.study.join(texts::FOLDER).display());
    }
    if state.left_out() > 0 {
        eprintln!("perface-web: {} samples are not asked: their pictures are missing", state.left_out());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(command.listen)
            .await
            .with_context(|| format!("could not listen at {}", command.listen))?;
        let address = listener.local_addr()?;
        let public = command.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let public = public.trim_end_matches('/');
        println!("listening at {address}");
        println!("for people:        {public}/");
        println!("for the researcher: {public}/researcher#TOKEN, TOKEN being what is in");
        println!("                   {}", command.study.join(RESEARCHER_FILE).display());
        axum::serve(listener, app(state)).with_graceful_shutdown(stopped()).await?;
        Ok(())
    })
}

/// Waits for Ctrl-C, or for being told to end.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            let interrupted = std::pin::pin!(tokio::signal::ctrl_c());
            let told = std::pin::pin!(term.recv());
            either(interrupted, told).await;
            return;
        }
    }
    // Without signals the process ends when it is killed, which loses nothing.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for the first of two.
#[cfg(unix)]
async fn either<A: Future + Unpin, B: Future + Unpin>(mut one: A, mut other: B) {
    std::future::poll_fn(|context| {
        let done = std::pin::Pin::new(&mut one).poll(context).is_ready()
            || std::pin::Pin::new(&mut other).poll(context).is_ready();
        if done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Two servers on one study would not know of each other's answers.
fn lock(study: &Path) -> Result<std::fs::File> {
    let path = study.join(".serve.lock");
    let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    file.try_lock().map_err(|_| anyhow::anyhow!("{} is being served already", study.display()))?;
    Ok(file)
}

fn simulate(command: &Simulate) -> Result<()> {
    let _lock = lock(&command.study)?;
    ensure!((0.0..=1.0).contains(&command.noise), "--noise is a probability");
    let study = Study::read(&command.study)?;
    ensure!(
        study.simulated,
        "{} does not say \"simulated\": true; design a study for this with --simulated",
        command.study.join(FILE_NAME).display()
    );
    let population = Population {
        people: command.people,
        careless: command.careless,
        leaving: command.leaving,
        noise: command.noise,
        preferences: command.preferences.as_deref().map(simulate::read_preferences).transpose()?.unwrap_or_default(),
        seed: command.seed,
    };
    let (now_ms, clock) = simulate::simulated_clock();
    let options = Options { clock, skip_missing: true, ..Default::default() };
    let state = State::open(&command.study, options)?;
    let simulated = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(simulate::run(
        &app(state.clone()),
        &state,
        &now_ms,
        &population,
    ))?;
    println!("simulated: nobody was asked");
    println!("{}", serde_json::to_string_pretty(&simulated)?);
    Ok(())
}

fn export(command: &Export) -> Result<()> {
    let study = Arc::new(Study::read(&command.study)?);
    let database = command.study.join(perface_web::store::FILE_NAME);
    ensure!(database.is_file(), "{} is not there: nobody was asked yet", database.display());
    let (_, desk) = Store::open(&command.study, &study)?.load(&study, |_| true)?;
    let votes = office::votes(&study, &desk);
    atomic::write(&command.out, &vote::csv(&votes)?, Overwrite::Always)?;
    println!("{} answers written to {}", votes.len(), command.out.display());
    Ok(())
}
