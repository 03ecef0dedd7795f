//! Secrets: personal links, the researcher's token, and names that nobody can guess.
//!
//! Tokens are 128 random bits. The database keeps their hashes only, so that a copy of it lets nobody in. They travel in
//! the part of a link behind `#`, which browsers do not send, and in the `Authorization` header, and are not logged.

use std::path::Path;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use perface::atomic::{self, Overwrite};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Name of the file with the researcher's token in a study's folder.
pub const RESEARCHER_FILE: &str = "researcher.token";

/// A hash of a token.
pub type TokenHash = [u8; 32];

/// Random bytes from the system.
///
/// # Errors
/// If the system has none to give.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

/// A new token, as 32 hexadecimal digits.
///
/// # Errors
/// As [`random`].
pub fn new_token() -> anyhow::Result<String> {
    Ok(hex(&random::<16>()?))
}

/// Its hash.
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether two hashes are equal, in a time that does not depend on where they differ.
pub fn same(one: &TokenHash, other: &TokenHash) -> bool {
    one.ct_eq(other).into()
}

/// The token a request carries.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// A name of 32 hexadecimal digits that only who knows `secret` can compute.
pub fn name(secret: &[u8; 32], purpose: &str, parts: &[u64]) -> String {
    let mut hash = Sha256::new();
    hash.update(secret);
    hash.update((purpose.len() as u64).to_le_bytes());
    hash.update(purpose.as_bytes());
    for part in parts {
        hash.update(part.to_le_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    hex(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
}

/// The researcher's token of the study in `folder`, made at the first call and readable by its owner alone.
///
/// # Errors
/// If it cannot be read or written.
pub fn researcher_token(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join(RESEARCHER_FILE);
    if let Ok(token) = std::fs::read_to_string(&path) {
        let token = token.trim().to_owned();
        anyhow::ensure!(token.len() >= 32, "{} must hold at least 32 characters", path.display());
        return Ok(token);
    }
    let token = new_token()?;
    atomic::write_with(&path, Overwrite::Never, |file| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        std::io::Write::write_all(file, format!("{token}\n").as_bytes())
    })?;
    Ok(token)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_128_random_bits() {
        let tokens: std::collections::HashSet<String> = (0..1000).map(|_| new_token().unwrap()).collect();
        assert_eq!(tokens.len(), 1000);
        assert!(tokens.iter().all(|t| t.len() == 32 && t.bytes().all(|b| b.is_ascii_hexdigit())));
        // Each bit is set in about half of them.
        for bit in 0..128 {
            let set = tokens.iter().filter(|t| u128::from_str_radix(t, 16).unwrap() >> bit & 1 == 1).count();
            assert!((400..600).contains(&set), "bit {bit}: {set}");
        }
    }

    #[test]
    fn hashes_are_compared_whole() {
        let one = hash("a");
        for place in [0, 15, 31] {
            let mut other = one;
            other[place] ^= 1;
            assert!(!same(&one, &other));
        }
        assert!(same(&one, &hash("a")));
    }

    #[test]
    fn names_depend_on_every_part() {
        let names = [
            name(&[1; 32], "picture", &[1, 2, 3]),
            name(&[2; 32], "picture", &[1, 2, 3]),
            name(&[1; 32], "question", &[1, 2, 3]),
            name(&[1; 32], "picture", &[1, 2, 4]),
        ];
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    #[cfg(unix)]
    fn the_researchers_token_is_kept_for_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let token = researcher_token(folder.path()).unwrap();
        assert_eq!(researcher_token(folder.path()).unwrap(), token);
        let mode = std::fs::metadata(folder.path().join(RESEARCHER_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}
