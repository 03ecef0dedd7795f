//! What every request shares.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use perface_evidence::study::texts::{self, Texts};
use perface_evidence::study::{Place, SampleKind, Study};

use crate::auth::{self, TokenHash};
use crate::office::{self, Desktop, Pictures};
use crate::pictures;

/// Milliseconds since 1970, from the system or made up.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// What a person gets who answered everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// A code to enter on a crowd platform.
    pub code: Option<String>,
    /// A page of the platform to go on to.
    pub url: Option<String>,
}

/// How a study is served.
#[derive(Clone)]
pub struct Options {
    /// What people get at the end.
    pub completion: Completion,
    /// Show a drawn face in place of every picture: to try out a study whose pictures are not made yet.
    pub placeholders: bool,
    /// Leave out samples whose pictures are missing, rather than refuse to start.
    pub skip_missing: bool,
    /// Most people that may join.
    pub max_people: usize,
    /// What the time is.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            completion: Completion::default(),
            placeholders: false,
            skip_missing: false,
            max_people: 2000,
            clock: system_clock(),
        }
    }
}

/// What every request shares.
#[derive(Clone)]
pub struct State {
    pub(crate) office: Desktop,
    pub(crate) study: Arc<Study>,
    pub(crate) texts: Arc<Texts>,
    pub(crate) pictures: Pictures,
    /// Every picture is sent with so many bytes.
    pub(crate) picture_bytes: usize,
    pub(crate) researcher: TokenHash,
    pub(crate) options: Arc<Options>,
    /// Samples that are not asked, as their pictures are missing.
    pub(crate) left_out: usize,
}

impl State {
    /// Open the study in `folder`.
    ///
    /// # Errors
    /// If the design, the texts or the database cannot be read, or pictures are missing.
    pub fn open(folder: &Path, options: Options) -> Result<Self> {
        let study = Arc::new(Study::read(folder)?);
        let texts = texts::read(folder)?;
        let is_there = |sample| Place::ALL.iter().all(|place| pictures::path_of(folder, sample, *place).is_file());
        let askable: Vec<bool> = study.samples.iter().map(|sample| options.placeholders || is_there(sample)).collect();
        let left_out = askable.iter().filter(|askable| !**askable).count();
        ensure!(
            left_out == 0 || options.skip_missing,
            "{left_out} of {} samples lack pictures in {}: run `perface study render`, or leave them out with --skip-missing",
            study.samples.len(),
            folder.display()
        );
        let real = study.samples.iter().zip(&askable).any(|(s, askable)| *askable && s.kind == SampleKind::Real);
        ensure!(real, "there is no sample to ask in {}", folder.display());
        let picture_bytes = if options.placeholders { 0 } else { pictures::largest(folder, &study)? };
        let shared = Pictures::default();
        let office = office::start(study.clone(), folder, Arc::new(askable), shared.clone(), options.max_people)
            .with_context(|| folder.display().to_string())?;
        Ok(Self {
            office,
            texts: Arc::new(texts),
            pictures: shared,
            picture_bytes,
            researcher: auth::hash(&auth::researcher_token(folder)?),
            options: Arc::new(options),
            left_out,
            study,
        })
    }

    /// Samples that are not asked, as their pictures are missing.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// What the researcher must still fill in.
    pub fn blanks(&self) -> Vec<String> {
        self.texts.blanks()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.options.clock)()
    }
}
