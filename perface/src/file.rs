//! Files read within limits and written whole or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// The bytes of a file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Malformed`] if it is larger.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::Malformed { path: path.to_owned(), reason: format!("is larger than {limit} bytes") });
    }
    Ok(bytes)
}

/// Replace `path` by `bytes`: written beside it, synced, renamed. A killed run leaves the old file.
///
/// # Errors
/// [`Error::Io`] naming `path`, for instance on a full disk; the old file is then untouched.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".perface-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As other programs create files: readable as far as the user's umask allows.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut temporary = builder.tempfile_in(folder).map_err(Error::io(path))?;
    temporary.write_all(bytes).map_err(Error::io(path))?;
    temporary.as_file().sync_all().map_err(Error::io(path))?;
    temporary.persist(path).map_err(|error| Error::io(path)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big.csv");
        write_whole(&path, &[b'x'; 11]).unwrap();
        assert_eq!(read_limited(&path, 11).unwrap().len(), 11);
        let message = read_limited(&path, 10).unwrap_err().to_string();
        assert!(message.contains("big.csv") && message.contains("10 bytes"), "{message}");
    }

    #[test]
    fn writing_replaces_and_leaves_nothing_else_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_whole(&path, b"old").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error_naming_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/a.json");
        assert!(write_whole(&path, b"x").unwrap_err().to_string().contains("a.json"));
    }
}
