//! Find the photos among the files and folders a user names, and where each is to be written.
//!
//! Folders are searched to the bottom in the order of names and mirrored: `in/a/b.jpg`, found in `in/`, becomes
//! `a/b.jpg`; a file named by itself becomes its bare name. Links are followed, and every folder is entered once, so
//! links that lead back end the search. Hidden files, and the output of an earlier run, are passed over.
//! No two photos get the same output.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::photo::{Format, SNIFF_BYTES};
use crate::{Error, Result};

/// Folders with this ending hold reports with people's faces in them and are never searched.
pub const REPORT_SUFFIX: &str = ".report";

/// Why pictures and films of other formats are passed over.
pub const UNSUPPORTED: &str = "format not supported";

/// Pictures and films by extension that cannot be read; whoever publishes a folder must hear of them.
const UNSUPPORTED_EXTENSIONS: [&str; 29] = [
    "3gp", "arw", "avi", "avif", "cr2", "cr3", "dng", "heic", "heif", "hif", "ico", "jp2", "jxl", "m4v", "mkv", "mov",
    "mp4", "mpg", "nef", "orf", "pdf", "pnm", "ppm", "psd", "raf", "rw2", "svg", "tga", "webm",
];

/// A photo to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The file.
    pub source: PathBuf,
    /// Where to write it, under the output folder.
    pub output: PathBuf,
    /// What its first bytes say; `None` if they could not be read or say nothing, which reading it will report.
    pub format: Option<Format>,
}

/// A file or folder that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: &'static str,
}

/// What [`inputs`] found.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Photos, in the order of the arguments and of names.
    pub photos: Vec<Input>,
    /// What was passed over. Hidden files are not listed.
    pub skipped: Vec<Skipped>,
    /// What could not be read or does not exist.
    pub failed: Vec<Error>,
}

/// Expand `paths`, files and folders, to the photos in them, to be written to the folder `out`.
///
/// In folders, a file counts as a photo by its extension; a file among `paths` always does. A photo whose format is
/// written as another gets the other's extension; two that would get the same name are told apart by the old
/// extension (`a.gif` beside `a.png` becomes `a.gif.png`) or a number (`a-2.jpg`). `out` itself is not searched.
///
/// # Errors
/// [`Error::Usage`] if `out` is one of `paths`, or a photo would be written over one of the photos read. A path
/// that cannot be read is no error but listed in [`Inputs::failed`].
pub fn inputs(paths: &[PathBuf], out: Option<&Path>) -> Result<Inputs> {
    let out = out.and_then(|out| out.canonicalize().ok());
    let mut search = Search { out, ..Default::default() };
    for path in paths {
        match fs::metadata(path) {
            Err(error) => search.found.failed.push(Error::io(path)(error)),
            Ok(metadata) if metadata.is_dir() => {
                if search.is_out(path) {
                    let path = path.display();
                    return Err(Error::Usage(format!("{path} is both read and written; choose another output folder")));
                }
                search.folder(path, Path::new(""));
            }
            Ok(_) => search.photo(path.clone(), PathBuf::from(path.file_name().unwrap_or(path.as_os_str()))),
        }
    }
    let Search { mut found, out, .. } = search;
    name_outputs(&mut found.photos);
    if let Some(out) = out {
        refuse_overwriting_sources(&found.photos, &out)?;
    }
    Ok(found)
}

#[derive(Default)]
struct Search {
    found: Inputs,
    /// Canonical.
    out: Option<PathBuf>,
    /// Folders entered, canonical.
    entered: HashSet<PathBuf>,
    /// Files taken, by canonical folder and name.
    taken: HashSet<PathBuf>,
}

impl Search {
    fn is_out(&self, folder: &Path) -> bool {
        self.out.is_some() && folder.canonicalize().ok() == self.out
    }

    fn skip(&mut self, path: &Path, reason: &'static str) {
        self.found.skipped.push(Skipped { path: path.to_owned(), reason });
    }

    /// Take everything under `folder`, itself at `relative` under the output folder.
    fn folder(&mut self, folder: &Path, relative: &Path) {
        let canonical = match folder.canonicalize() {
            Ok(canonical) => canonical,
            Err(error) => return self.found.failed.push(Error::io(folder)(error)),
        };
        if !self.entered.insert(canonical) {
            return self.skip(folder, "read already");
        }
        for name in self.names(folder) {
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let (path, relative) = (folder.join(&name), relative.join(&name));
            match fs::metadata(&path) {
                Err(error) => self.found.failed.push(Error::io(path)(error)),
                Ok(metadata) if metadata.is_dir() => {
                    if name.as_encoded_bytes().ends_with(REPORT_SUFFIX.as_bytes()) || self.is_out(&path) {
                        self.skip(&path, "output of an earlier run");
                    } else {
                        self.folder(&path, &relative);
                    }
                }
                Ok(metadata) if !metadata.is_file() => self.skip(&path, "not a file"),
                Ok(_) => match extension(&path) {
                    e if Format::from_extension(&e).is_some() => self.photo(path, relative),
                    e if UNSUPPORTED_EXTENSIONS.contains(&e.as_str()) => self.skip(&path, UNSUPPORTED),
                    _ => self.skip(&path, "not a picture"),
                },
            }
        }
    }

    /// Names in `folder`, sorted; what cannot be read is noted.
    fn names(&mut self, folder: &Path) -> Vec<OsString> {
        let mut names = vec![];
        match fs::read_dir(folder) {
            Err(error) => self.found.failed.push(Error::io(folder)(error)),
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) => names.push(entry.file_name()),
                        Err(error) => self.found.failed.push(Error::io(folder)(error)),
                    }
                }
            }
        }
        names.sort();
        names
    }

    fn photo(&mut self, source: PathBuf, output: PathBuf) {
        let folder = source.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let identity =
            folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).join(output.file_name().unwrap_or_default());
        if !self.taken.insert(identity) {
            return self.skip(&source, "read already");
        }
        let format = sniff(&source);
        self.found.photos.push(Input { source, output, format });
    }
}

fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn sniff(path: &Path) -> Option<Format> {
    // To open a pipe is to wait for its writer.
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return None;
    }
    let mut start = Vec::with_capacity(SNIFF_BYTES);
    File::open(path).ok()?.take(SNIFF_BYTES as u64).read_to_end(&mut start).ok()?;
    Format::sniff(&start)
}

/// Give each photo the extension of what it is written as, and a name of its own.
fn name_outputs(photos: &mut [Input]) {
    let mut names = HashSet::new();
    for photo in photos.iter() {
        names.extend(photo.output.ancestors().skip(1).map(folded));
    }
    // Those that keep their names come first, so that a.png stays a.png whatever its neighbours are called.
    let (keep, change): (Vec<_>, Vec<_>) = photos.iter_mut().partition(|photo| keeps_name(photo));
    for photo in keep.into_iter().chain(change) {
        let new_extension = photo.format.filter(|_| !keeps_name(photo)).map(Format::output_extension);
        let plain = match new_extension {
            Some(new) => photo.output.with_extension(new),
            None => photo.output.clone(),
        };
        let with_old = new_extension.map(|new| {
            let mut name = photo.output.file_name().unwrap_or_default().to_owned();
            name.push(".");
            name.push(new);
            photo.output.with_file_name(name)
        });
        let numbered = (2u64..).map(|n| {
            let mut name = plain.file_stem().unwrap_or_default().to_owned();
            name.push(format!("-{n}"));
            if let Some(extension) = plain.extension() {
                name.push(".");
                name.push(extension);
            }
            plain.with_file_name(name)
        });
        let mut choices = std::iter::once(plain.clone()).chain(with_old).chain(numbered);
        if let Some(free) = choices.find(|choice| names.insert(folded(choice))) {
            photo.output = free;
        }
    }
}

fn keeps_name(photo: &Input) -> bool {
    photo.format.is_none_or(|format| Format::from_extension(&extension(&photo.output)) == Some(format.output()))
}

/// As a disk compares names that does not tell upper from lower case.
fn folded(path: &Path) -> String {
    path.to_string_lossy().to_lowercase()
}

fn refuse_overwriting_sources(photos: &[Input], out: &Path) -> Result<()> {
    let sources: HashSet<_> = photos.iter().filter_map(|photo| photo.source.canonicalize().ok()).collect();
    for photo in photos {
        if out.join(&photo.output).canonicalize().is_ok_and(|existing| sources.contains(&existing)) {
            return Err(Error::Usage(format!(
                "{} would be written over a photo that is read; choose another output folder",
                photo.source.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    const GIF: &[u8] = b"GIF89a";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0";

    fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    fn outputs(found: &Inputs) -> Vec<&str> {
        found.photos.iter().map(|photo| photo.output.to_str().unwrap()).collect()
    }

    fn search(root: &tempfile::TempDir, paths: &[&str]) -> Inputs {
        let paths: Vec<_> = paths.iter().map(|path| root.path().join(path)).collect();
        inputs(&paths, Some(&root.path().join("out"))).unwrap()
    }

    #[test]
    fn a_folder_is_mirrored_in_the_order_of_names() {
        let root = tree(&[("in/b.png", PNG), ("in/a/z.JPG", JPEG), ("in/a/b/c.jpeg", JPEG), ("in/.hidden.png", PNG)]);
        let found = search(&root, &["in"]);
        assert_eq!(outputs(&found), ["a/b/c.jpeg", "a/z.JPG", "b.png"]);
        assert!(found.skipped.is_empty() && found.failed.is_empty());
    }

    #[test]
    fn what_is_no_picture_is_listed_but_tried_if_named() {
        let root = tree(&[("in/notes.txt", b"hello"), ("in/x.heic", b""), ("in/a.jpg", JPEG)]);
        let found = search(&root, &["in"]);
        assert_eq!(outputs(&found), ["a.jpg"]);
        let reasons: Vec<_> = found.skipped.iter().map(|s| s.reason).collect();
        assert_eq!(reasons, ["not a picture", "format not supported"]);
        let named = search(&root, &["in/notes.txt"]);
        assert_eq!((outputs(&named), named.photos[0].format), (vec!["notes.txt"], None));
    }

    #[test]
    fn content_not_name_gives_the_extension() {
        let root = tree(&[("in/a.gif", GIF), ("in/b.jpg", PNG), ("in/c.jpeg", JPEG), ("in/d.bmp", b"broken")]);
        assert_eq!(outputs(&search(&root, &["in"])), ["a.png", "b.png", "c.jpeg", "d.bmp"]);
    }

    #[test]
    fn outputs_differ() {
        let root = tree(&[
            ("in/a.gif", GIF),
            ("in/a.png", PNG),
            ("in/a.gif.png", PNG),
            ("one/b.jpg", JPEG),
            ("two/b.jpg", JPEG),
            ("two/B.jpg", JPEG),
        ]);
        assert_eq!(outputs(&search(&root, &["in"])), ["a-2.png", "a.gif.png", "a.png"]);
        let both = search(&root, &["one/b.jpg", "two/b.jpg", "two/B.jpg", "one/b.jpg"]);
        assert_eq!(outputs(&both), ["b.jpg", "b-2.jpg", "B-3.jpg"]);
        assert_eq!(both.skipped[0].reason, "read already");
    }

    #[test]
    fn earlier_output_is_not_read_again() {
        let root = tree(&[("a.png", PNG), ("out/a.png", PNG), ("out.report/a.png", PNG), ("x/y.report/b.png", PNG)]);
        let found = search(&root, &[""]);
        assert_eq!(outputs(&found), ["a.png"]);
        assert_eq!(found.skipped.len(), 3);
    }

    #[test]
    fn a_photo_is_never_written_over_a_source() {
        let root = tree(&[("in/a.png", PNG), ("in/sub/b.png", PNG)]);
        let at = |path: &str| root.path().join(path);
        let refused = |paths: &[PathBuf], out: &str| inputs(paths, Some(&at(out))).unwrap_err().to_string();
        assert!(refused(&[at("in")], "in").contains("both read and written"));
        assert!(refused(&[at("in/a.png")], "in").contains("a.png would be written over"));
        assert!(inputs(&[at("in")], Some(&at("in/sub"))).is_ok());
    }

    #[test]
    fn a_missing_path_does_not_stop_the_others() {
        let root = tree(&[("in/a.png", PNG)]);
        let found = search(&root, &["gone.jpg", "in"]);
        assert_eq!(outputs(&found), ["a.png"]);
        assert!(found.failed[0].to_string().contains("gone.jpg"));
    }

    #[test]
    fn an_empty_folder_is_no_error() {
        let root = tree(&[("in/empty/readme.txt", b"")]);
        assert!(search(&root, &["in"]).photos.is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn links_that_lead_back_end_the_search() {
        use std::os::unix::fs::symlink;
        let root = tree(&[("in/a/b.png", PNG)]);
        let at = |path: &str| root.path().join(path);
        symlink("..", at("in/a/up")).unwrap();
        symlink("self", at("in/self")).unwrap();
        symlink(at("nowhere"), at("in/dangling.png")).unwrap();
        symlink("b.png", at("in/a/link.png")).unwrap();
        let found = search(&root, &["in"]);
        assert_eq!(outputs(&found), ["a/b.png", "a/link.png"]);
        assert_eq!(found.skipped, [Skipped { path: at("in/a/up"), reason: "read already" }]);
        assert_eq!(found.failed.len(), 2, "{:?}", found.failed);
    }

    #[test]
    #[cfg(unix)]
    fn pipes_and_odd_names_do_not_stop_the_search() {
        use std::os::unix::{ffi::OsStrExt, net::UnixListener};
        let root = tree(&[("in/a.png", PNG)]);
        let _socket = UnixListener::bind(root.path().join("in/pipe.png")).unwrap();
        fs::write(root.path().join("in").join(std::ffi::OsStr::from_bytes(b"\xff.png")), PNG).unwrap();
        let found = search(&root, &["in"]);
        assert_eq!(found.photos.len(), 2);
        assert_eq!(found.skipped[0].reason, "not a file");
    }
}
