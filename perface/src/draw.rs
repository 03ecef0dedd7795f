//! Draws that a seed repeats and nobody without it can guess.
//!
//! A generator is ChaCha20 keyed by the SHA-256 of what the draw is for, so that draws for different photos, faces
//! or purposes are independent of each other and of the order in which they are made. Whole numbers come by
//! rejection, written here, so that no library's next version changes a published result.

use std::fmt;
use std::str::FromStr;

use rand::rngs::OsRng;
use rand::{RngCore, TryRngCore};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The secret of a run: whoever has it, the photos and the pool can repeat every draw.
///
/// It is never shown by `{:?}`, so that no log gives it away; [`Seed::reveal`] does for a confidential report.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(u128);

impl Seed {
    /// From a number the user gave.
    pub const fn new(value: u128) -> Self {
        Self(value)
    }

    /// A new one from the system's secure random numbers.
    ///
    /// # Errors
    /// [`Error::Io`] if the system has none to give.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        OsRng.try_fill_bytes(&mut bytes).map_err(|error| Error::io("random numbers")(std::io::Error::other(error)))?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }

    /// As text that [`Seed::from_str`] reads back. For confidential records only.
    pub fn reveal(self) -> String {
        format!("{:#034x}", self.0)
    }

    /// The generator for one purpose; `parts` say which photo, face or round it is.
    pub fn keyed(self, purpose: &str, parts: &[&[u8]]) -> ChaCha20Rng {
        let mut hash = Sha256::new();
        hash.update(self.0.to_le_bytes());
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        ChaCha20Rng::from_seed(hash.finalize().into())
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(hidden)")
    }
}

impl FromStr for Seed {
    type Err = String;

    /// A whole number below 2¹²⁸, decimal or hexadecimal with `0x`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u128::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map(Self).map_err(|_| "a seed is a whole number below 2^128, such as 7 or 0x1f".to_owned())
    }
}

/// A whole number in `0..n`, each equally likely; 0 if `n` is 0.
pub fn below(rng: &mut impl RngCore, n: usize) -> usize {
    let n = n as u64;
    if n == 0 {
        return 0;
    }
    // 2^64 mod n: the lowest numbers, which would come up once too often.
    let excess = n.wrapping_neg() % n;
    loop {
        let drawn = rng.next_u64();
        if drawn >= excess {
            return (drawn % n) as usize;
        }
    }
}

/// Put `items` in random order, each order equally likely (Fisher–Yates).
pub fn shuffle<T>(rng: &mut impl RngCore, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_not_shown_by_debug() {
        assert_eq!(format!("{:?}", Seed::new(123_456_789)), "Seed(hidden)");
    }

    #[test]
    fn a_revealed_seed_is_read_back() {
        for value in [0, 7, u128::MAX] {
            assert_eq!(Seed::new(value).reveal().parse(), Ok(Seed::new(value)));
        }
        assert_eq!("7".parse(), Ok(Seed::new(7)));
        assert!("seven".parse::<Seed>().is_err());
        assert!("-1".parse::<Seed>().is_err());
    }

    #[test]
    fn the_same_key_repeats_and_another_part_does_not() {
        let first = |seed: u128, parts: &[&[u8]]| Seed::new(seed).keyed("test", parts).next_u64();
        assert_eq!(first(1, &[b"photo", b"0"]), first(1, &[b"photo", b"0"]));
        assert_ne!(first(1, &[b"photo", b"0"]), first(1, &[b"photo", b"1"]));
        assert_ne!(first(1, &[b"photo", b"0"]), first(2, &[b"photo", b"0"]));
        assert_ne!(first(1, &[b"ab", b"c"]), first(1, &[b"a", b"bc"]), "parts are kept apart");
        assert_ne!(Seed::random().unwrap(), Seed::random().unwrap());
    }

    #[test]
    fn every_order_of_three_is_equally_likely() {
        let mut rng = Seed::new(5).keyed("test", &[]);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            shuffle(&mut rng, &mut items);
            *counts.entry(items).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        // Five standard deviations of a count with mean 1000 are 144.
        assert!(counts.values().all(|count| count.abs_diff(1000) < 145), "{counts:?}");
    }

    #[test]
    fn nothing_and_one_have_one_outcome() {
        let mut rng = Seed::new(5).keyed("test", &[]);
        assert_eq!((below(&mut rng, 0), below(&mut rng, 1)), (0, 0));
        shuffle(&mut rng, &mut [(); 0]);
    }
}
