//! The networks, sample photos and test data that tests on real photos share.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use perface::detect::{Detector, DetectorOptions};
use perface::embed::Embedder;
use perface::model::Runtime;
use perface::model::pack::Pack;
use perface::model::store::Store;
use perface::photo::{self, Limits};

/// The user's store: what is missing is fetched once.
pub fn store() -> Store {
    Store::open(None, false, Arc::new(|_| {})).unwrap()
}

/// The runtime the command line would take.
pub fn runtime(store: &Store) -> Runtime {
    store.runtime("auto").unwrap()
}

/// The detector with its default options.
pub fn detector() -> Detector {
    let store = store();
    Detector::new(store.load("yunet", &runtime(&store)).unwrap().1, DetectorOptions::default())
}

/// SFace.
pub fn embedder() -> Embedder {
    let store = store();
    let (card, model) = store.load("sface", &runtime(&store)).unwrap();
    Embedder::new(card, model)
}

/// A sample photo out of `pack`.
pub fn sample(pack: &Pack, name: &str) -> RgbImage {
    read(&store().pack(pack).unwrap().join(name))
}

/// The pixels of a photo.
pub fn read(path: &Path) -> RgbImage {
    photo::read(path, &Limits::default()).unwrap().pixels
}

/// The folder `name` of the test data, or a message that `what` is skipped.
pub fn testdata(name: &str, what: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PERFACE_TESTDATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped 1 test: {what} needs {name}/ of the test data; set PERFACE_TESTDATA");
    None
}

/// The pictures in `folder`, sorted.
pub fn pictures(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
