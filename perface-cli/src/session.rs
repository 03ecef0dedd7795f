//! What the commands share: the networks of this machine, loaded as they are needed.

use std::sync::Arc;

use anyhow::Result;
use perface::detect::{Detector, DetectorOptions};
use perface::model::card::ModelCard;
use perface::model::store::Store;
use perface::model::{Model, Runtime};

use crate::args::Common;
use crate::progress;

/// The store and runtime a command works with.
pub struct Session {
    /// Where networks come from.
    pub store: Store,
    /// What runs them.
    pub runtime: Runtime,
}

impl Session {
    /// As the common options say.
    pub fn open(common: &Common) -> Result<Self> {
        let store =
            Store::open(common.cache.clone(), common.offline, progress::downloads(common.json && common.quiet))?;
        let runtime = store.runtime(&common.runtime)?;
        Ok(Self { store, runtime })
    }

    /// The network called `name` and its card.
    pub fn load(&self, name: &str) -> Result<(ModelCard, Arc<dyn Model>)> {
        Ok(self.store.load(name, &self.runtime)?)
    }

    /// The face detector.
    pub fn detector(&self, options: DetectorOptions) -> Result<Detector> {
        Ok(Detector::new(self.load("yunet")?.1, options))
    }
}
