//! Contact sheets on the disk.

use std::path::{Path, PathBuf};

use anyhow::Result;
use image::RgbImage;
use perface::atomic::{self, Overwrite};
use perface::photo::{self, Format, Photo};

/// Write `pages` as PNG, the first to `path`, others beside it with `-2`, `-3`, … ; their paths come back.
pub fn write(pages: impl Iterator<Item = RgbImage>, path: &Path) -> Result<Vec<PathBuf>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut written = Vec::new();
    for (index, page) in pages.enumerate() {
        let path = if index == 0 { path.to_owned() } else { path.with_file_name(format!("{stem}-{}.png", index + 1)) };
        let bytes = photo::encode(&Photo::new(page, Format::Png))?;
        atomic::write(&path, &bytes, Overwrite::Always)?;
        written.push(path);
    }
    Ok(written)
}
