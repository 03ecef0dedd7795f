//! What people read: plain text the researcher edits, one file for each page.
//!
//! Blank lines part paragraphs; a line that begins with `# ` is a heading, lines that begin with `- ` are a list.
//! Square brackets mark what the researcher must fill in.

use std::path::Path;

use serde::Serialize;

use perface::atomic::{self, Overwrite};
use perface::error::{Error, Result};
use perface::file::read_limited;

/// Folder of the texts.
pub const FOLDER: &str = "texts";
/// Longest text, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Name and beginning of each text.
const DEFAULTS: [(&str, &str); 4] = [
    (
        "information.txt",
        "# Which face is closer?\n\n\
         [Name of your institution] is studying how people judge the likeness of faces. You will see three faces at a \
         time. Choose which of the two lower ones looks more like the one above. There is no right answer: we want your \
         first impression of the whole face.\n\n\
         - It takes about [minutes] minutes. You can stop whenever you like and come back later.\n\
         - The faces were made by a computer from pictures of other people.\n\
         - We keep your choices and how long each took, under a number. We do not keep your name or your address.\n\
         - You can have your answers deleted: press Pause, then Delete.\n\n\
         Questions? Write to [your name and e-mail address]. [Name of the ethics board and number of its approval]\n",
    ),
    (
        "consent.txt",
        "I am at least 18 years old. I have read the information above and I take part of my own free will. My answers \
         may be used for research as described.\n",
    ),
    ("done.txt", "# Thank you\n\nThat was all. Your answers are kept.\n"),
    ("ended.txt", "# Thank you\n\nYour part in this study ends here. There are no more questions for you.\n"),
];

/// Part of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    /// A heading.
    Heading(String),
    /// A paragraph.
    Paragraph(String),
    /// A list.
    List(Vec<String>),
}

/// The pages of a study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Texts {
    /// What the study is about.
    pub information: Vec<Block>,
    /// What a person agrees to.
    pub consent: Vec<Block>,
    /// After the last question.
    pub done: Vec<Block>,
    /// For who takes no more part.
    pub ended: Vec<Block>,
}

/// Write the texts that are not in `folder` yet, for the researcher to edit.
///
/// # Errors
/// [`Error::Io`].
pub fn write_missing(folder: &Path) -> Result<()> {
    for (name, text) in DEFAULTS {
        let path = folder.join(FOLDER).join(name);
        if !path.exists() {
            atomic::write(&path, text.as_bytes(), Overwrite::Never)?;
        }
    }
    Ok(())
}

/// Read the texts of the study in `folder`; a missing one is as [`write_missing`] would write it.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] if one is too long or not UTF-8.
pub fn read(folder: &Path) -> Result<Texts> {
    let [information, consent, done, ended] = DEFAULTS.map(|(name, default)| {
        let path = folder.join(FOLDER).join(name);
        if !path.exists() {
            return Ok(blocks(default));
        }
        let bytes = read_limited(&path, MAX_BYTES)?;
        let text =
            String::from_utf8(bytes).map_err(|_| Error::Malformed { path, reason: "is not UTF-8".to_owned() })?;
        Ok(blocks(text.trim_start_matches('\u{feff}')))
    });
    Ok(Texts { information: information?, consent: consent?, done: done?, ended: ended? })
}

impl Texts {
    /// What is still to be filled in, each as it stands there.
    pub fn blanks(&self) -> Vec<String> {
        let all = [&self.information, &self.consent, &self.done, &self.ended].into_iter().flatten();
        let lines = all.flat_map(|block| match block {
            Block::Heading(text) | Block::Paragraph(text) => std::slice::from_ref(text).iter(),
            Block::List(items) => items.iter(),
        });
        lines.flat_map(|line| blanks(line)).collect()
    }
}

fn blanks(line: &str) -> Vec<String> {
    line.split('[').skip(1).filter_map(|rest| rest.split_once(']')).map(|(blank, _)| format!("[{blank}]")).collect()
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            open = false;
        } else if let Some(heading) = line.strip_prefix("# ") {
            blocks.push(Block::Heading(heading.trim().to_owned()));
            open = false;
        } else if let Some(item) = line.strip_prefix("- ") {
            match blocks.last_mut() {
                Some(Block::List(items)) if open => items.push(item.trim().to_owned()),
                _ => blocks.push(Block::List(vec![item.trim().to_owned()])),
            }
            open = true;
        } else {
            match blocks.last_mut() {
                Some(Block::Paragraph(paragraph)) if open => {
                    paragraph.push(' ');
                    paragraph.push_str(line);
                }
                _ => blocks.push(Block::Paragraph(line.to_owned())),
            }
            open = true;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_headings_paragraphs_and_lists() {
        assert_eq!(
            blocks("# A\n\none\ntwo\n\n- x\n- y\n\nthree"),
            [
                Block::Heading("A".to_owned()),
                Block::Paragraph("one two".to_owned()),
                Block::List(vec!["x".to_owned(), "y".to_owned()]),
                Block::Paragraph("three".to_owned()),
            ]
        );
    }

    #[test]
    fn texts_are_written_once_and_blanks_are_found() {
        let folder = tempfile::tempdir().unwrap();
        write_missing(folder.path()).unwrap();
        let blanks = read(folder.path()).unwrap().blanks();
        assert!(blanks.contains(&"[minutes]".to_owned()), "{blanks:?}");
        let own = folder.path().join(FOLDER).join("information.txt");
        std::fs::write(&own, "# Mine\n").unwrap();
        write_missing(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap().information, [Block::Heading("Mine".to_owned())]);
        assert!(read(folder.path()).unwrap().blanks().is_empty());
    }
}
