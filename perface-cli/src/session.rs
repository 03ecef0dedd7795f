//! What the commands share: the networks of this machine, loaded as they are needed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use perface::attribute::AttributeReader;
use perface::candidates::{Candidates, Reader};
use perface::detect::{Detector, DetectorOptions, Face};
use perface::embed::Embedder;
use perface::embedding::Embedding;
use perface::mesh::Mesher;
use perface::model::card::{ModelCard, Role};
use perface::model::store::{State, Store};
use perface::model::{Model, Runtime};
use perface::photo::{self, Limits, Photo};
use perface::pool::{Pool, builtin};
use perface::replace::Gate;
use perface::swap::Swapper;
use perface::swap::neural::card::Latent;
use perface::swap::neural::{self, Masks, Networks, Neural};
use perface::swap::warp::{Warp, WarpOptions};

use crate::args::Common;
use crate::progress;

/// The embedder used where none is named.
pub const DEFAULT_MODEL: &str = "sface";

/// The engine that needs no file.
pub const BUILT_IN_ENGINE: &str = "warp";

/// Which masks restrict an engine's result.
#[derive(Clone, Copy, Debug, Default)]
pub struct MaskNames {
    /// The hull of the mesh.
    pub hull: bool,
    /// BiSeNet's parts of a face.
    pub region: bool,
    /// XSeg's occlusions.
    pub occlusion: bool,
}

/// A network and its card.
type Loaded = (ModelCard, Arc<dyn Model>);

/// The store and runtime a command works with.
pub struct Session {
    /// Where networks come from.
    pub store: Store,
    /// What runs them.
    pub runtime: Runtime,
    /// Networks loaded so far: one copy serves everyone who asks, for the large ones take 90 MB.
    pub loaded: Mutex<HashMap<String, Loaded>>,
}

impl Session {
    /// As the common options say.
    pub fn open(common: &Common) -> Result<Self> {
        let store = open_store(common)?;
        let runtime = store.runtime(&common.runtime)?;
        Ok(Self { store, runtime, loaded: Mutex::default() })
    }

    /// The network called `name` and its card.
    pub fn load(&self, name: &str) -> Result<(ModelCard, Arc<dyn Model>)> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = loaded.get(name) {
            return Ok(known.clone());
        }
        let new = self.store.load(name, &self.runtime)?;
        loaded.insert(name.to_owned(), new.clone());
        Ok(new)
    }

    /// The face detector.
    pub fn detector(&self, options: DetectorOptions) -> Result<Detector> {
        Ok(Detector::new(self.load("yunet")?.1, options))
    }

    /// The embedder called `name`.
    pub fn embedder(&self, name: &str) -> Result<Embedder> {
        let (card, model) = self.load(name)?;
        if card.role != Role::Embedder {
            let reason = format!("{name} finds no similarity; `perface models list` shows the embedders");
            return Err(perface::Error::Usage(reason).into());
        }
        Ok(Embedder::new(card, model))
    }

    /// A recogniser that results must get past.
    pub fn gate(&self, name: &str) -> Result<Gate> {
        let embedder = self.embedder(name)?;
        let threshold = embedder.card().same_person.as_ref().map(|t| t.cosine);
        let missing =
            format!("the card of {name} gives no threshold, so it cannot tell whether two faces are one person");
        let same_person_cosine = threshold.ok_or(perface::Error::Usage(missing))?;
        Ok(Gate { embedder, same_person_cosine })
    }

    /// The embedders whose files are on this machine and whose cards give a threshold, in the order of the list.
    pub fn installed_gates(&self) -> Result<Vec<String>> {
        let usable = |card: &&ModelCard| {
            card.role == Role::Embedder && card.same_person.is_some() && self.store.state(card) == State::Ready
        };
        Ok(self.store.cards()?.iter().filter(usable).map(|card| card.name.clone()).collect())
    }

    /// What finds and reads the main face of a picture.
    pub fn reader(&self, model: &str) -> Result<Reader> {
        Ok(Reader {
            detector: self.detector(DetectorOptions::default())?,
            mesher: Mesher::new(self.load("facemesh")?.1),
            embedder: self.embedder(model)?,
        })
    }

    /// The engine called `name`, with the cards of its networks: the built-in one has none.
    pub fn engine(
        &self,
        name: &str,
        masks: MaskNames,
        match_colour: bool,
    ) -> Result<(Arc<dyn Swapper>, Vec<ModelCard>)> {
        if name == BUILT_IN_ENGINE {
            return Ok((Arc::new(Warp::new(WarpOptions::default())), Vec::new()));
        }
        let card = neural::card::engine(name).ok_or_else(|| {
            let known: Vec<&str> = neural::card::engines().iter().map(|engine| engine.name).collect();
            perface::Error::Usage(format!("no engine named {name:?}; known: {BUILT_IN_ENGINE}, {}", known.join(", ")))
        })?;
        let mut cards = Vec::new();
        let mut load = |part: &str| -> Result<(Vec<u8>, Arc<dyn Model>)> {
            let missing = || format!("{name} needs {part}; add it with `perface models add {part} FILE`");
            let (part, bytes) = self.store.read(part).with_context(missing)?;
            let model = self.runtime.load(&part.name, bytes.clone())?;
            cards.push(part);
            Ok((bytes, model))
        };
        let (bytes, engine) = load(card.name)?;
        let networks = Networks {
            engine,
            wiring: neural::graph::wiring(&card, &bytes)?,
            identity: load(card.identity.model)?.1,
            converter: match card.latent {
                Latent::Converted(converter) => Some(load(converter)?.1),
                _ => None,
            },
            emap: match card.latent {
                Latent::Emap => Some(neural::graph::emap(&card, &bytes)?),
                _ => None,
            },
        };
        let masks = Masks {
            hull: masks.hull,
            region: if masks.region { Some(load("bisenet")?.1) } else { None },
            occlusion: if masks.occlusion { Some(load("xseg")?.1) } else { None },
        };
        Ok((Arc::new(Neural::new(card, networks, masks, match_colour)?), cards))
    }

    /// What reads apparent gender and age.
    pub fn attributes(&self) -> Result<AttributeReader> {
        Ok(AttributeReader::new(self.load("gender")?.1, self.load("age")?.1))
    }

    /// The pool in `folder`, or the built-in one.
    pub fn pool(&self, folder: Option<&Path>) -> Result<Pool> {
        let folder: PathBuf = match folder {
            Some(folder) => folder.to_owned(),
            None => builtin::unpack(&self.store.root().join("pool"))?,
        };
        Ok(Pool::load(&folder)?)
    }

    /// A pool made ready for `reader`.
    pub fn candidates(&self, folder: Option<&Path>, reader: Reader) -> Result<Candidates> {
        let cache = self.store.root().join("embeddings");
        std::fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
        Ok(Candidates::load(self.pool(folder)?, reader, &cache, self.runtime.name())?)
    }
}

/// The store the common options name.
pub fn open_store(common: &Common) -> Result<Store> {
    Ok(Store::open(common.cache.clone(), common.offline, progress::downloads(common.quiet))?)
}

/// A picture of one person: its main face, embedded.
pub struct OnePerson {
    /// The picture.
    pub photo: Photo,
    /// The face.
    pub face: Face,
    /// Its embedding.
    pub embedding: Embedding,
}

impl OnePerson {
    /// Read the picture in `path`.
    pub fn read(path: &Path, reader: &Reader) -> Result<Self> {
        let no_face = |reason: &str| perface::Error::Unreadable { path: path.to_owned(), reason: reason.to_owned() };
        let photo = photo::read(path, &Limits::default())?;
        let face = reader.main_face(&photo.pixels)?.ok_or_else(|| no_face("no face was found"))?;
        let embedding = reader.embedder.embed_face(&photo.pixels, &face)?;
        let embedding = embedding.ok_or_else(|| no_face("the face cannot be aligned"))?;
        Ok(Self { photo, face, embedding })
    }
}
