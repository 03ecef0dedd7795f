//! The pool that comes with PerFace: composites of consenting adults, made by `perface pool synthesize`.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::atomic::{self, Overwrite};
use crate::error::Result;
use crate::model::pack::sha256_hex;

static FILES: Dir = include_dir!("$CARGO_MANIFEST_DIR/../pool");

/// Put the pool into a folder of its own below `folder` and return that; done once for each version of the pool.
///
/// # Errors
/// If a file cannot be written.
pub fn unpack(folder: &Path) -> Result<PathBuf> {
    let contents: Vec<u8> = FILES.files().flat_map(|file| file.contents().iter().copied()).collect();
    let version: String = sha256_hex(&contents).chars().take(12).collect();
    let target = folder.join(format!("builtin-{version}"));
    for file in FILES.files() {
        let path = target.join(file.path());
        // A file is written whole or not at all, so one of the right length is the right one.
        let length = file.contents().len() as u64;
        if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == length) {
            continue;
        }
        atomic::write(&path, file.contents(), Overwrite::Always)?;
    }
    Ok(target)
}
