//! Files of tables as rows of named texts; CSV and JSONL are read here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::parquet::parquet_rows;
use super::records::{Record, Records};
use super::{ManifestError, has_ending};
use crate::domain::{shortened, split_list};
use crate::fetch::StoreKind;

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRow {
    /// File and line, for messages.
    pub source_name: String,
    /// Values by column.
    pub fields: Map<String, Value>,
}

impl TableRow {
    /// The text in `column`, trimmed; `None` when absent or empty. Numbers are given as text.
    pub fn text(&self, column: &str) -> Option<String> {
        let text = match self.fields.get(column)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The texts in `column`: a JSON array, or a cell of parts separated by `|`.
    pub fn list(&self, column: &str) -> Vec<String> {
        self.parts(column)
            .into_iter()
            .filter_map(Result::ok)
            .collect()
    }

    /// As [`list`](Self::list), with what is no text in its place, as JSON; `null` is nothing.
    pub fn parts(&self, column: &str) -> Vec<Result<String, String>> {
        match self.fields.get(column) {
            Some(Value::Array(values)) => values
                .iter()
                .filter_map(|value| match value {
                    Value::Null => None,
                    Value::String(text) => {
                        let text = text.trim();
                        (!text.is_empty()).then(|| Ok(text.to_owned()))
                    }
                    other => Some(Err(other.to_string())),
                })
                .collect(),
            Some(Value::String(cell)) => split_list(cell).into_iter().map(Ok).collect(),
            _ => Vec::new(),
        }
    }

    /// Why nothing is in `column`, in words: it is empty, or there is no such column. Then the file may be separated by
    /// something else than commas.
    pub fn nothing_in(&self, column: &str) -> String {
        const MAX_CHARS: usize = 120;
        if self.fields.is_empty() || self.fields.contains_key(column) {
            return format!("no {column}");
        }
        let columns: Vec<_> = self.fields.keys().map(|name| format!("{name:?}")).collect();
        let named = shortened(&columns.join(", "), MAX_CHARS);
        let is_separated_otherwise = self.fields.keys().any(|name| name.contains([';', '\t']));
        let remedy = match is_separated_otherwise {
            true => ": separate them by commas",
            false => "",
        };
        format!("there is no column {column}; the columns are {named}{remedy}")
    }

    /// The number in `column`, if there is one.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.text(column)?.parse().ok()
    }
}

/// The rows of a manifest, read as they are asked for.
pub type Table = Box<dyn Iterator<Item = Result<TableRow, ManifestError>> + Send>;

/// Longest line of a JSONL manifest, and longest record of a CSV one; what is longer is told and passed over.
pub(super) const MAX_LINE_BYTES: usize = 4 << 20;
/// Columns of a CSV manifest that may come several times, each with some of what belongs together.
const LIST_COLUMNS: [&str; 3] = ["photos", "photo", "path"];

/// Opens a `.csv`, `.jsonl` (`.ndjson`) or `.parquet` file; `None` for any other ending.
///
/// # Errors
/// [`ManifestError::Unreadable`]; bad lines are errors of their own in the sequence.
pub fn read_table(path: &Path) -> Result<Option<Table>, ManifestError> {
    read_table_named(path, path)
}

/// As [`read_table`], of a file that people know as `name`.
pub(super) fn read_table_named(path: &Path, name: &Path) -> Result<Option<Table>, ManifestError> {
    let unreadable = |cause| ManifestError::Unreadable {
        path: name.to_owned(),
        cause,
    };
    if has_ending(name, &["csv"]) {
        let file = File::open(path).map_err(unreadable)?;
        return Ok(Some(Box::new(csv_rows(name, file)?)));
    }
    if has_ending(name, &["jsonl", "ndjson"]) {
        let file = File::open(path).map_err(unreadable)?;
        return Ok(Some(Box::new(json_rows(name, file))));
    }
    if has_ending(name, &["parquet"]) {
        let file = File::open(path).map_err(unreadable)?;
        return Ok(Some(Box::new(parquet_rows(name, file)?)));
    }
    Ok(None)
}

/// Whether the ending of `path` is that of a manifest.
pub(super) fn is_table_path(path: &Path) -> bool {
    has_ending(path, &["csv", "jsonl", "ndjson", "parquet"])
}

/// The rows of JSON lines on standard input, each as soon as it is there.
pub(super) fn read_standard_input() -> Table {
    Box::new(json_rows(Path::new("standard input"), io::stdin()))
}

fn csv_rows(
    path: &Path,
    file: File,
) -> Result<impl Iterator<Item = Result<TableRow, ManifestError>> + use<>, ManifestError> {
    let mut records = Records::new(skip_byte_order_mark(file));
    let path = path.to_owned();
    let header = records
        .next_record()
        .map_err(|cause| bad_line(&path, 1, cause.to_string()))?;
    let header = match header {
        Some(header) => cells_of(&path, header)?,
        None => csv::ByteRecord::new(),
    };
    let columns: Vec<String> = header
        .iter()
        .map(|cell| String::from_utf8_lossy(cell).trim().to_ascii_lowercase())
        .collect();
    let mut is_broken = false;
    Ok(std::iter::from_fn(move || {
        if is_broken {
            return None;
        }
        match records.next_record() {
            Ok(record) => Some(csv_row(&path, &columns, record?)),
            Err(cause) => {
                // No line is read after that.
                is_broken = true;
                Some(Err(ManifestError::BrokenOff {
                    source_name: at_line(&path, records.line()),
                    reason: cause.to_string(),
                }))
            }
        }
    }))
}

/// The cells of a record, trimmed.
fn cells_of(path: &Path, record: Record) -> Result<csv::ByteRecord, ManifestError> {
    let bad = |reason| bad_line(path, record.line, reason);
    let text = record.text.map_err(bad)?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .buffer_capacity(512)
        .from_reader(&text[..]);
    let mut cells = csv::ByteRecord::new();
    let read = reader.read_byte_record(&mut cells);
    read.map_err(|cause| bad(cause.to_string()))?;
    Ok(cells)
}

fn csv_row(path: &Path, columns: &[String], record: Record) -> Result<TableRow, ManifestError> {
    let line = record.line;
    let bad = |reason| bad_line(path, line, reason);
    let cells = csv::StringRecord::from_byte_record(cells_of(path, record)?)
        .map_err(|cause| bad(cause.utf8_error().to_string()))?;
    if cells.len() > columns.len() {
        return Err(bad(format!(
            "{} cells where the first line has {}",
            cells.len(),
            columns.len()
        )));
    }
    let mut fields = Map::new();
    for (column, cell) in columns.iter().zip(&cells) {
        match fields.get_mut(column) {
            Some(Value::String(before)) if LIST_COLUMNS.contains(&column.as_str()) => {
                before.push('|');
                before.push_str(cell);
            }
            _ => {
                fields.insert(column.clone(), Value::String(cell.to_owned()));
            }
        }
    }
    Ok(TableRow {
        source_name: at_line(path, line),
        fields,
    })
}

/// Spreadsheets put a byte order mark first; without this it would become part of a column's name.
fn skip_byte_order_mark<R: Read>(file: R) -> BufReader<R> {
    let mut reader = BufReader::new(file);
    if reader
        .fill_buf()
        .is_ok_and(|head| head.starts_with(b"\xef\xbb\xbf"))
    {
        reader.consume(3);
    }
    reader
}

fn json_rows<R: Read>(
    path: &Path,
    file: R,
) -> impl Iterator<Item = Result<TableRow, ManifestError>> + use<R> {
    let path = path.to_owned();
    let mut reader = skip_byte_order_mark(file);
    let mut line_number = 0u64;
    let mut is_broken = false;
    std::iter::from_fn(move || {
        while !is_broken {
            line_number += 1;
            match read_bounded_line(&mut reader) {
                Ok(None) => return None,
                Ok(Some(Line::Whole(line))) if line.trim_ascii().is_empty() => {}
                Ok(Some(Line::Whole(line))) => return Some(json_row(&path, line_number, &line)),
                Ok(Some(Line::TooLong)) => {
                    let reason = format!("a line of more than {MAX_LINE_BYTES} bytes");
                    return Some(Err(bad_line(&path, line_number, reason)));
                }
                Err(cause) => {
                    is_broken = true;
                    return Some(Err(ManifestError::BrokenOff {
                        source_name: at_line(&path, line_number),
                        reason: cause.to_string(),
                    }));
                }
            }
        }
        None
    })
}

enum Line {
    Whole(Vec<u8>),
    /// It was passed over.
    TooLong,
}

/// The next line; `None` at the end of the file.
fn read_bounded_line(reader: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let n = Read::take(&mut *reader, MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
    if n > MAX_LINE_BYTES {
        if line.last() != Some(&b'\n') {
            reader.skip_until(b'\n')?;
        }
        return Ok(Some(Line::TooLong));
    }
    Ok((n > 0).then_some(Line::Whole(line)))
}

pub(super) fn json_row(
    path: &Path,
    line_number: u64,
    line: &[u8],
) -> Result<TableRow, ManifestError> {
    let fields: BTreeMap<String, Value> = serde_json::from_slice(line)
        .map_err(|cause| bad_line(path, line_number, cause.to_string()))?;
    Ok(TableRow {
        source_name: at_line(path, line_number),
        fields: fields.into_iter().collect(),
    })
}

pub(super) fn bad_line(path: &Path, line_number: u64, reason: String) -> ManifestError {
    ManifestError::BadLine {
        source_name: at_line(path, line_number),
        reason,
    }
}

fn at_line(path: &Path, line_number: u64) -> String {
    format!("{} line {line_number}", path.display())
}

/// `text` as a path, relative ones from the folder of the manifest. `file:` addresses are paths in
/// percent code.
pub(super) fn resolve(manifest: &Path, text: &str) -> PathBuf {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    match scheme_of(text) {
        Some("file") => {
            let rest = &text["file:".len()..];
            let path = match rest.strip_prefix("//") {
                // The host before the path is this one.
                Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
                None => rest,
            };
            folder.join(decoded(path))
        }
        _ => folder.join(text),
    }
}

/// The scheme that an address begins with: letters and digits before `:`, two at least, so that a
/// drive's letter is none; in other cases than `file:` only before `//`, since names hold colons too.
pub(super) fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !is_scheme {
        return None;
    }
    if scheme.eq_ignore_ascii_case("file") {
        return Some("file");
    }
    rest.starts_with("//").then_some(scheme)
}

/// Whether what has this scheme is fetched, from the web or from a store.
pub(super) fn is_fetched(scheme: &str) -> bool {
    let is_web = ["http", "https"]
        .iter()
        .any(|web| scheme.eq_ignore_ascii_case(web));
    is_web || StoreKind::of_scheme(scheme).is_some()
}

#[cfg(unix)]
fn decoded(path: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn decoded(path: &str) -> PathBuf {
    let text = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    PathBuf::from(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn rows_of(name: &str, content: &[u8]) -> Vec<Result<TableRow, ManifestError>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file");
        let table = read_table(&path).expect("readable").expect("a manifest");
        table.collect()
    }

    #[test]
    fn csv_lines_are_counted_and_bad_ones_do_not_end_the_reading() {
        let rows = rows_of(
            "a.csv",
            b"\xef\xbb\xbfPath,Brand\na.png,Acme\nb.png,B,too,many\n\"c,d.png\",\n",
        );
        assert_eq!(rows.len(), 3);
        let first = rows[0].as_ref().expect("good");
        assert_eq!(first.text("path").as_deref(), Some("a.png"));
        let message = rows[1].as_ref().expect_err("too many cells").to_string();
        assert!(
            message.contains("line 3") && message.contains('4'),
            "{message}"
        );
        let third = rows[2].as_ref().expect("good");
        assert_eq!(third.text("path").as_deref(), Some("c,d.png"));
        assert_eq!(third.text("brand"), None);
    }

    #[test]
    fn a_missing_column_is_told_with_those_that_are_there() {
        let first = |name: &str, content: &str| {
            let mut rows = rows_of(name, content.as_bytes());
            rows.swap_remove(0).expect("a row").nothing_in("path")
        };
        assert_eq!(
            first("a.csv", "path;brand\na.png;Acme\n"),
            "there is no column path; the columns are \"path;brand\": separate them by commas"
        );
        assert_eq!(
            first("a.jsonl", "{\"file\":\"a.png\"}"),
            "there is no column path; the columns are \"file\""
        );
        assert_eq!(first("a.csv", "path,brand\n,Acme\n"), "no path");
        assert_eq!(first("a.jsonl", "{}"), "no path");
        let long = first("a.csv", &format!("{}\nx\n", "ü".repeat(10_000)));
        assert!(long.ends_with('…') && long.chars().count() < 200, "{long}");
    }

    #[test]
    fn jsonl_takes_lists_numbers_and_empty_lines() {
        let rows = rows_of(
            "a.jsonl",
            b"{\"p\":[\"a\",\"b\"],\"n\":3}\n\n{oops}\n{\"p\":\"x|y\"}",
        );
        assert_eq!(rows.len(), 3);
        let first = rows[0].as_ref().expect("good");
        assert_eq!(
            (first.list("p"), first.text("n").as_deref()),
            (vec!["a".into(), "b".into()], Some("3"))
        );
        assert!(
            rows[1]
                .as_ref()
                .expect_err("no JSON")
                .to_string()
                .contains("line 3")
        );
        assert_eq!(rows[2].as_ref().expect("good").list("p"), ["x", "y"]);
    }

    #[test]
    fn a_line_that_is_too_long_costs_itself_alone() {
        let text = format!(
            "{{\"n\":\"{}\"}}\n{{\"n\":2}}\n",
            "x".repeat(MAX_LINE_BYTES)
        );
        let rows = rows_of("a.jsonl", text.as_bytes());
        assert_eq!(rows.len(), 2);
        let message = rows[0].as_ref().expect_err("too long").to_string();
        assert!(message.contains("line 1: a line of more"), "{message}");
        let second = rows[1].as_ref().expect("good");
        assert_eq!(second.text("n").as_deref(), Some("2"));
        assert!(second.source_name.ends_with("line 2"));
    }

    #[test]
    fn a_quote_that_is_not_closed_is_an_error_and_reading_goes_on() {
        let rows = rows_of("a.csv", b"p,n\na,\"15 inch\nb,\"two\nlines\"\n");
        let message = rows[0].as_ref().expect_err("no end").to_string();
        assert!(message.contains("line 2: a quote"), "{message}");
        let last = rows.last().expect("some").as_ref().expect("good");
        assert_eq!(last.text("n").as_deref(), Some("two\nlines"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        fs::write(&path, b"p,\"n\na,b\n").expect("a file");
        assert!(read_table(&path).is_err());
    }

    #[test]
    fn columns_of_photos_that_come_several_times_are_one_list() {
        let rows = rows_of("a.csv", b"Photo,photo,n,photo,n\na,b|c,1,,2\n");
        let row = rows[0].as_ref().expect("good");
        assert_eq!(row.list("photo"), ["a", "b", "c"]);
        assert_eq!(row.text("n").as_deref(), Some("2"));
    }

    #[test]
    fn binary_rubbish_is_an_error_not_a_panic() {
        assert!(rows_of("a.jsonl", &[0xff; 64]).iter().all(Result::is_err));
        assert!(
            rows_of("a.csv", b"a,b\n\xff\xfe,1\n")
                .iter()
                .all(Result::is_err)
        );
    }

    #[test]
    fn file_addresses_are_paths() {
        let manifest = Path::new("/lists/l.jsonl");
        for (text, path) in [
            ("a.jpg", "/lists/a.jpg"),
            ("/p/a.jpg", "/p/a.jpg"),
            ("file:///p/a%20b.jpg", "/p/a b.jpg"),
            ("file://localhost/p/a.jpg", "/p/a.jpg"),
            ("file:/p/a.jpg", "/p/a.jpg"),
            ("file:a.jpg", "/lists/a.jpg"),
            ("FILE:///p/%E7%B7%91.jpg", "/p/緑.jpg"),
            ("odd:name.jpg", "/lists/odd:name.jpg"),
            ("100%25.jpg", "/lists/100%25.jpg"),
        ] {
            assert_eq!(resolve(manifest, text), Path::new(path), "{text}");
        }
        assert_eq!(scheme_of("https://x/a.jpg"), Some("https"));
        assert_eq!(scheme_of("C:/a.jpg"), None);
        assert_eq!(scheme_of("odd:name.jpg"), None);
    }
}
