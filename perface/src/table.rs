//! Tables in CSV, read within limits and with errors that name the file and the line.
//!
//! UTF-8 with or without a byte-order mark, a header row, LF or CRLF; blanks around a cell are dropped. Columns go
//! by name, in any order; unknown ones are kept.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use csv::StringRecord;

use crate::error::{Error, Result};
use crate::file::read_limited;

/// Largest table that is read, in bytes; a million rows of 64 bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Most columns a table may have.
const MAX_COLUMNS: usize = 256;
/// Most cells a table may have; with [`MAX_BYTES`] this bounds the memory a hostile table can take.
const MAX_CELLS: usize = 8_000_000;
/// Longest cell, in bytes.
const MAX_CELL_BYTES: usize = 64 << 10;

/// Foreign column names: `ours=theirs,…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnNames(Vec<(String, String)>);

impl ColumnNames {
    /// Our name of a column called `theirs` in the file; the same where nothing was said.
    fn ours<'a>(&'a self, theirs: &'a str) -> &'a str {
        self.0.iter().find(|(_, foreign)| foreign == theirs).map_or(theirs, |(ours, _)| ours)
    }
}

impl FromStr for ColumnNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pairs =
            text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| match pair.split_once('=') {
                Some((ours, theirs)) if !ours.trim().is_empty() && !theirs.trim().is_empty() => {
                    Ok((ours.trim().to_owned(), theirs.trim().to_owned()))
                }
                _ => Err(format!("{pair:?} is not of the form ours=theirs")),
            });
        pairs.collect::<Result<_, _>>().map(Self)
    }
}

/// A table: column names and rows of as many cells.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    header: Vec<String>,
    /// Line of the file and cells.
    rows: Vec<(u64, StringRecord)>,
}

/// One row of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    table: &'a Table,
    line: u64,
    record: &'a StringRecord,
}

impl Table {
    /// Read a table whose header has at least the columns `needed`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Malformed`], with the line, if it is too large, is not
    /// UTF-8, has rows of unequal length, or lacks or repeats a column.
    pub fn read(path: &Path, names: &ColumnNames, needed: &[&str]) -> Result<Self> {
        let bytes = read_limited(path, MAX_BYTES)?;
        Self::parse(path, &bytes, names, needed)
    }

    /// As [`Table::read`], from bytes; `path` is for messages.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn parse(path: &Path, bytes: &[u8], names: &ColumnNames, needed: &[&str]) -> Result<Self> {
        let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let header = reader.headers().map_err(|error| malformed(describe(&error, bytes)))?;
        if header.len() > MAX_COLUMNS {
            return Err(malformed(format!("line 1: {} columns, at most {MAX_COLUMNS} are read", header.len())));
        }
        let header: Vec<String> = header.iter().map(|theirs| names.ours(theirs).to_owned()).collect();
        for (index, name) in header.iter().enumerate() {
            if header.iter().take(index).any(|earlier| earlier == name) {
                return Err(malformed(format!("line 1: column {name:?} stands there twice")));
            }
        }
        let mut rows = Vec::new();
        let (mut line, mut counted) = (1, 0);
        for record in reader.records() {
            let record = record.map_err(|error| malformed(describe(&error, bytes)))?;
            let start = start_of(record.position(), bytes);
            line += newlines(bytes, counted, start);
            counted = start;
            if (rows.len() + 1) * header.len() > MAX_CELLS {
                return Err(malformed(format!("line {line}: more than {MAX_CELLS} cells")));
            }
            if record.iter().any(|cell| cell.len() > MAX_CELL_BYTES) {
                return Err(malformed(format!("line {line}: a cell is longer than {MAX_CELL_BYTES} bytes")));
            }
            rows.push((line, record));
        }
        let table = Self { path: path.to_owned(), header, rows };
        table.require(needed)?;
        Ok(table)
    }

    /// Check that the header has the columns `needed`.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming those that are missing.
    pub fn require(&self, needed: &[&str]) -> Result<()> {
        let missing: Vec<&str> = needed.iter().copied().filter(|name| !self.header.iter().any(|h| h == name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let plural = if missing.len() == 1 { "column" } else { "columns" };
        let reason = format!("line 1: {plural} {} missing (found: {})", missing.join(", "), self.header.join(", "));
        Err(Error::Malformed { path: self.path.clone(), reason })
    }

    /// Column names in order.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, record)| Row { table: self, line: *line, record })
    }
}

impl<'a> Row<'a> {
    /// The cell in column `name`; empty if there is no such column.
    pub fn get(&self, name: &str) -> &'a str {
        let column = self.table.header.iter().position(|header| header == name);
        column.and_then(|column| self.record.get(column)).unwrap_or("")
    }

    /// The cell in column `name` as a value that must be there.
    ///
    /// # Errors
    /// [`Error::Malformed`] with file, line and column.
    pub fn parse<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T> {
        let cell = self.get(name);
        if cell.is_empty() {
            return Err(self.error(format!("{name} is empty")));
        }
        cell.parse().map_err(|error| self.error(format!("{name}: {error}")))
    }

    /// As [`Row::parse`], `None` for an empty cell.
    ///
    /// # Errors
    /// [`Error::Malformed`] with file, line and column.
    pub fn parse_optional<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>> {
        if self.get(name).is_empty() { Ok(None) } else { self.parse(name).map(Some) }
    }

    /// Line of the file on which the row begins, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// An error at this row.
    pub fn error(&self, reason: impl std::fmt::Display) -> Error {
        Error::Malformed { path: self.table.path.clone(), reason: format!("line {}: {reason}", self.line) }
    }
}

/// A header and rows as the text of a table.
///
/// # Errors
/// [`Error::Usage`] if a row has another number of cells than the header.
pub fn csv_text(header: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| Error::Usage(format!("could not write the table: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(|error| failed(&error))?;
    for row in rows {
        writer.write_record(row).map_err(|error| failed(&error))?;
    }
    writer.into_inner().map_err(|error| failed(&error))
}

/// What the CSV reader said, with the line first.
fn describe(error: &csv::Error, bytes: &[u8]) -> String {
    let line = 1 + newlines(bytes, 0, start_of(error.position(), bytes));
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => format!("line {line}: is not UTF-8"),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("line {line}: {len} cells where the header has {expected_len}")
        }
        _ => format!("line {line}: {error}"),
    }
}

/// Where the record at `position` begins: the reader's position is still before a line feed or blank lines.
fn start_of(position: Option<&csv::Position>, bytes: &[u8]) -> usize {
    let from = position.map_or(0, |position| position.byte() as usize);
    let blank = bytes.iter().skip(from).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    from + blank
}

/// Line feeds in `bytes[from..to]`.
fn newlines(bytes: &[u8], from: usize, to: usize) -> u64 {
    bytes.get(from..to).map_or(0, |part| part.iter().filter(|byte| **byte == b'\n').count() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str, needed: &[&str]) -> Result<Table> {
        Table::parse(Path::new("t.csv"), text.as_bytes(), &ColumnNames::default(), needed)
    }

    #[test]
    fn bom_crlf_and_blanks_are_no_part_of_the_names() {
        let table = parse("\u{feff}id , file\r\na , b/c.png \r\n", &["id", "file"]).unwrap();
        let row = table.rows().next().unwrap();
        assert_eq!((row.get("id"), row.get("file"), row.line()), ("a", "b/c.png", 2));
    }

    #[test]
    fn errors_name_file_line_and_column() {
        for (text, want) in [
            ("id\na\n", "t.csv: line 1: column file missing (found: id)"),
            ("x\na\n", "t.csv: line 1: columns id, file missing (found: x)"),
            ("id,file,id\n", "t.csv: line 1: column \"id\" stands there twice"),
            ("id,file\na,b\nc\n", "t.csv: line 3: 1 cells where the header has 2"),
            ("", "t.csv: line 1: columns id, file missing (found: )"),
        ] {
            assert_eq!(parse(text, &["id", "file"]).unwrap_err().to_string(), want);
        }
        let table = parse("n\n12\nx\n\n\"\"\n", &["n"]).unwrap();
        let values: Vec<_> = table.rows().map(|row| row.parse::<u32>("n").map_err(|e| e.to_string())).collect();
        assert_eq!(values[0], Ok(12));
        assert_eq!(values[1], Err("t.csv: line 3: n: invalid digit found in string".to_owned()));
        assert_eq!(values[2], Err("t.csv: line 5: n is empty".to_owned()));
        assert_eq!(table.rows().nth(2).unwrap().parse_optional::<u32>("n").unwrap(), None);
    }

    #[test]
    fn foreign_names_are_mapped() {
        let names: ColumnNames = "id=name, file = path".parse().unwrap();
        let table = Table::parse(Path::new("t.csv"), b"path,name\np,n\n", &names, &["id", "file"]).unwrap();
        assert_eq!(table.rows().next().unwrap().get("id"), "n");
        assert!("id".parse::<ColumnNames>().is_err());
        assert!("=x".parse::<ColumnNames>().is_err());
    }

    #[test]
    fn too_many_columns_and_too_long_cells_are_refused() {
        let wide = vec!["x"; MAX_COLUMNS + 1].join(",");
        assert!(parse(&wide, &[]).unwrap_err().to_string().contains("columns"));
        let long = format!("a\n{}\n", "x".repeat(MAX_CELL_BYTES + 1));
        assert!(parse(&long, &[]).unwrap_err().to_string().contains("line 2: a cell is longer"));
        assert!(Table::parse(Path::new("t.csv"), b"a\n\xff\n", &ColumnNames::default(), &[]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(table) = Table::parse(Path::new("t.csv"), &bytes, &ColumnNames::default(), &[]) {
                table.rows().for_each(|row| { row.get("a"); });
            }
        }
    }
}
