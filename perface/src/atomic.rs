//! Write a file whole or not at all.
//!
//! The bytes go to a temporary file in the same folder, which is flushed to the disk and then renamed. A run that
//! is killed leaves either the old file, the new one, or a hidden `.perface-…` file beside them, never a half.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::{Error, Result};

/// Temporary files begin with this; the dot hides them, also from [`crate::tree`].
const TEMPORARY_PREFIX: &str = ".perface-";

/// What to do if the file exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave it and fail.
    #[default]
    Never,
    /// Replace it.
    Always,
}

/// Write `bytes` to `path`, making its folder if need be.
///
/// # Errors
/// [`Error::Io`] naming the file: disk full, no permission, or it exists and `overwrite` is `Never`. Nothing is
/// left behind then.
pub fn write(path: &Path, bytes: &[u8], overwrite: Overwrite) -> Result<()> {
    write_with(path, overwrite, |file| file.write_all(bytes))
}

/// As [`write()`], with the content written by `fill`, whose error is passed on.
///
/// # Errors
/// As [`write()`].
pub fn write_with(path: &Path, overwrite: Overwrite, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    replace(path, overwrite, fill).map_err(Error::io(path))
}

fn replace(path: &Path, overwrite: Overwrite, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    if overwrite == Overwrite::Never && path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    #[cfg(unix)]
    {
        // As any new file, cut down by the user's mask; temporary files alone would be private.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    // Dropped on any error below, which removes it.
    let mut temporary = builder.tempfile_in(folder)?;
    fill(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    match overwrite {
        // Checked once more by the rename itself, for whoever wrote the file in the meantime.
        Overwrite::Never => temporary.persist_noclobber(path)?,
        Overwrite::Always => temporary.persist(path)?,
    };
    sync_folder(folder);
    Ok(())
}

/// Flush the new name. Not every system can, and the file itself is safe already.
fn sync_folder(folder: &Path) {
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::debug!(folder = %folder.display(), %error, "folder not flushed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn writes_into_folders_it_makes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.txt");
        write(&path, b"one", Overwrite::Never).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(path.parent().unwrap()), ["c.txt"]);
    }

    #[test]
    fn never_overwrites_unless_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.txt");
        write(&path, b"one", Overwrite::Never).unwrap();
        let error = write(&path, b"two", Overwrite::Never).unwrap_err();
        assert!(error.to_string().contains("c.txt"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", Overwrite::Always).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["c.txt"]);
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.txt");
        let error = write_with(&path, Overwrite::Never, |_| fs::write(&path, b"theirs")).unwrap_err();
        assert!(matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(names(folder.path()), ["c.txt"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.txt");
        write(&path, b"old", Overwrite::Never).unwrap();
        let error = write_with(&path, Overwrite::Always, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert!(error.to_string().contains("c.txt"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["c.txt"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_said_with_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.txt");
        let error = write_with(&path, Overwrite::Never, |_| {
            File::options().write(true).open("/dev/full")?.write_all(b"more than fits")
        })
        .unwrap_err();
        assert!(matches!(&error, Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull), "{error:?}");
        assert!(error.to_string().contains("c.txt"), "{error}");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn the_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
        write(&ours, b"", Overwrite::Never).unwrap();
        fs::write(&other, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&other));
    }
}
