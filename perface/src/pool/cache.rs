//! Face descriptors kept between runs.
//!
//! One file per network, aligner and runtime maps the hash of a picture's pixels to its descriptor. A cache file is
//! input like any other: whatever is wrong with it, it counts as empty and is written anew.
//!
//! Layout, numbers little-endian: `PFEMBED1`, `u32` length of the key text, the key text, `u32` width, `u64` count,
//! then per descriptor 32 bytes of pixel hash and `width` `f32`, sorted by hash; last the SHA-256 of all before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::RgbImage;
use sha2::{Digest, Sha256};

use crate::atomic::{self, Overwrite};
use crate::embedding::{Embedding, MAX_WIDTH};
use crate::error::{Error, Result};
use crate::file::read_limited;

const MAGIC: &[u8; 8] = b"PFEMBED1";
/// Largest cache that is read, in bytes: about 475 000 descriptors of 128 values.
const MAX_BYTES: u64 = 256 << 20;
/// Length of a SHA-256.
const HASH_BYTES: usize = 32;

/// SHA-256 of a picture's size and pixels, the same whatever file format held them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PixelHash(pub [u8; HASH_BYTES]);

impl PixelHash {
    /// Of an 8-bit RGB picture.
    pub fn of(pixels: &RgbImage) -> Self {
        let mut hash = Sha256::new();
        hash.update(pixels.width().to_le_bytes());
        hash.update(pixels.height().to_le_bytes());
        hash.update(pixels.as_raw());
        Self(hash.finalize().into())
    }

    /// Of a whole file, for caches that are asked before a picture is decoded. Never equal to the hash of pixels of
    /// the same picture, so such caches need a key of their own.
    pub fn of_file(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// What a descriptor depends on beside the pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheKey {
    /// SHA-256 of the network's file, in hex.
    pub model_sha256: String,
    /// The way the face is found and cut out, with a version.
    pub aligner: String,
    /// What runs the network; runtimes differ in the last bits.
    pub runtime: String,
}

impl CacheKey {
    fn text(&self) -> String {
        format!("{:?} {:?} {:?}", self.model_sha256, self.aligner, self.runtime)
    }

    /// Its file's name: different keys have different names.
    fn file_name(&self) -> String {
        let hash = Sha256::digest(self.text().as_bytes());
        let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("embeddings-{hex}.bin")
    }
}

/// Descriptors by pixel hash, for one [`CacheKey`].
#[derive(Debug)]
pub struct EmbeddingCache {
    path: PathBuf,
    key: CacheKey,
    entries: BTreeMap<PixelHash, Embedding>,
    changed: bool,
}

impl EmbeddingCache {
    /// The cache for `key` in `folder`, empty where there is no usable one. Nothing is written yet.
    pub fn open(folder: &Path, key: CacheKey) -> Self {
        let path = folder.join(key.file_name());
        let entries = match read_limited(&path, MAX_BYTES) {
            Ok(bytes) => decode(&bytes, &key.text()).unwrap_or_else(|reason| {
                tracing::warn!("{}: {reason}; it is made anew", path.display());
                BTreeMap::new()
            }),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                tracing::warn!("{error}; the cache is made anew");
                BTreeMap::new()
            }
        };
        Self { path, key, entries, changed: false }
    }

    /// Number of descriptors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The descriptor of the picture with these pixels, if known.
    pub fn get(&self, pixels: PixelHash) -> Option<&Embedding> {
        self.entries.get(&pixels)
    }

    /// Note a descriptor. A network of another width than before starts the cache anew.
    pub fn insert(&mut self, pixels: PixelHash, embedding: Embedding) {
        if self.entries.values().next().is_some_and(|first| first.width() != embedding.width()) {
            self.entries.clear();
        }
        self.changed |= self.entries.get(&pixels) != Some(&embedding);
        self.entries.insert(pixels, embedding);
    }

    /// Write it, whole or not at all, if anything was added; the folder is made where it is missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&mut self) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        atomic::write(&self.path, &encode(&self.entries, &self.key.text()), Overwrite::Always)?;
        self.changed = false;
        Ok(())
    }
}

fn encode(entries: &BTreeMap<PixelHash, Embedding>, key: &str) -> Vec<u8> {
    let width = entries.values().next().map_or(0, Embedding::width);
    let mut bytes = MAGIC.to_vec();
    bytes.extend((key.len() as u32).to_le_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend((width as u32).to_le_bytes());
    bytes.extend((entries.len() as u64).to_le_bytes());
    for (pixels, embedding) in entries {
        bytes.extend(pixels.0);
        bytes.extend(embedding.as_slice().iter().flat_map(|value| value.to_le_bytes()));
    }
    let hash = Sha256::digest(&bytes);
    bytes.extend(hash.as_slice());
    bytes
}

/// Entries of a cache file for `key`, or what is wrong with it. Nothing is allocated by a number in the file that
/// the file's own length does not bear out.
fn decode(bytes: &[u8], key: &str) -> std::result::Result<BTreeMap<PixelHash, Embedding>, &'static str> {
    let (body, hash) = bytes.split_last_chunk::<HASH_BYTES>().ok_or("is too short for a cache")?;
    if Sha256::digest(body).as_slice() != hash {
        return Err("is not a whole cache");
    }
    let rest = body.strip_prefix(MAGIC).ok_or("is not a cache of this version")?;
    let (key_length, rest) = rest.split_first_chunk::<4>().ok_or("has no key")?;
    let rest = match rest.split_at_checked(u32::from_le_bytes(*key_length) as usize) {
        Some((found, rest)) if found == key.as_bytes() => rest,
        _ => return Err("belongs to another network"),
    };
    let (width, rest) = rest.split_first_chunk::<4>().ok_or("has no width")?;
    let (count, rest) = rest.split_first_chunk::<8>().ok_or("has no count")?;
    let (width, count) = (u32::from_le_bytes(*width) as usize, u64::from_le_bytes(*count));
    if width > MAX_WIDTH || (width == 0) != (count == 0) {
        return Err("has an impossible width");
    }
    let entry_bytes = HASH_BYTES + 4 * width;
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(entry_bytes)) != Some(rest.len()) {
        return Err("has another length than it says");
    }
    let mut entries = BTreeMap::new();
    for entry in rest.chunks_exact(entry_bytes) {
        let (pixels, values) = entry.split_first_chunk::<HASH_BYTES>().ok_or("has a broken entry")?;
        let values = values.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        let embedding = Embedding::from_unit(values).ok_or("holds something that is no descriptor")?;
        entries.insert(PixelHash(*pixels), embedding);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> CacheKey {
        CacheKey { model_sha256: "ab".to_owned(), aligner: "arcface-1".to_owned(), runtime: "rten".to_owned() }
    }

    fn face(x: f32) -> Embedding {
        Embedding::from_raw(&[x, 1.0, -2.0]).unwrap()
    }

    /// A cache of two faces, written to `folder`.
    fn written(folder: &Path) -> EmbeddingCache {
        let mut cache = EmbeddingCache::open(folder, key());
        cache.insert(PixelHash([1; 32]), face(0.5));
        cache.insert(PixelHash([2; 32]), face(0.7));
        cache.save().unwrap();
        cache
    }

    #[test]
    fn descriptors_come_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made/on/saving");
        let cache = written(&folder);
        let again = EmbeddingCache::open(&folder, key());
        assert_eq!(again.entries, cache.entries);
        assert_eq!(again.get(PixelHash([2; 32])), Some(&face(0.7)));
        assert_eq!(again.get(PixelHash([3; 32])), None);
    }

    #[test]
    fn another_network_aligner_or_runtime_sees_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = written(folder.path());
        for other in [
            CacheKey { model_sha256: "cd".to_owned(), ..key() },
            CacheKey { aligner: "none".to_owned(), ..key() },
            CacheKey { runtime: "ort".to_owned(), ..key() },
        ] {
            assert!(EmbeddingCache::open(folder.path(), other.clone()).is_empty());
            std::fs::copy(&cache.path, folder.path().join(other.file_name())).unwrap();
            assert!(EmbeddingCache::open(folder.path(), other).is_empty(), "a renamed file is not believed");
        }
    }

    #[test]
    fn a_damaged_cache_counts_as_empty_and_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path()).path;
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut], &key().text()).is_err(), "cut to {cut} bytes");
        }
        std::fs::write(&path, b"nonsense").unwrap();
        assert!(EmbeddingCache::open(folder.path(), key()).is_empty());
        assert_eq!(EmbeddingCache::open(&written(folder.path()).path.with_file_name(""), key()).len(), 2);
    }

    /// `body` with the hash that a forger would put behind it.
    fn signed(mut body: Vec<u8>) -> Vec<u8> {
        let hash = Sha256::digest(&body);
        body.extend(hash.as_slice());
        body
    }

    #[test]
    fn a_forged_cache_with_a_right_hash_is_still_checked() {
        let text = key().text();
        let entries = BTreeMap::from([(PixelHash([1; 32]), face(0.5))]);
        let body = || {
            let mut bytes = encode(&entries, &text);
            bytes.truncate(bytes.len() - HASH_BYTES);
            bytes
        };
        assert!(decode(&signed(body()), &text).is_ok());
        let width_at = MAGIC.len() + 4 + text.len();
        let mut huge_count = body();
        huge_count[width_at + 4..width_at + 12].fill(0xff);
        let mut huge_width = body();
        huge_width[width_at..width_at + 4].fill(0xff);
        let mut nan = body();
        let end = nan.len();
        nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        let mut long_key = body();
        long_key[8..12].fill(0xff);
        for (forged, why) in [(huge_count, "length"), (huge_width, "width"), (nan, "descriptor"), (long_key, "network")]
        {
            let reason = decode(&signed(forged), &text).unwrap_err();
            assert!(reason.contains(why), "{reason} lacks {why}");
        }
    }

    #[test]
    fn pixels_of_another_shape_hash_differently() {
        let (wide, high) = (RgbImage::new(2, 1), RgbImage::new(1, 2));
        assert_ne!(PixelHash::of(&wide), PixelHash::of(&high));
        assert_eq!(PixelHash::of(&wide), PixelHash::of(&wide.clone()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut body = MAGIC.to_vec();
            body.extend(bytes);
            decode(&signed(body), "").ok();
        }
    }
}
