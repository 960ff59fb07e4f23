//! Files of rows, read one by one.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::{ReportError, read_record};
use crate::domain::ScannedPhoto;

/// Longest row, with its end: findings of one photo and the fields of a listing, which are at most 4 MiB in JSON.
pub(super) const MAX_ROW_BYTES: u64 = 64 << 20;

/// The rows of a JSONL report, as they are asked for.
///
/// # Errors
/// [`ReportError::Read`], [`ReportError::BadRow`]; the reading ends with the first.
pub fn read_rows(
    path: &Path,
) -> Result<impl Iterator<Item = Result<ScannedPhoto, ReportError>> + use<>, ReportError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|source| ReportError::Read {
        path: name.clone(),
        source,
    })?;
    let mut lines = Lines::new(BufReader::with_capacity(1 << 18, file));
    let mut is_over = false;
    Ok(std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let row = match lines.next_whole() {
            Ok(line) => read_record(line?).map_err(|reason| ReportError::BadRow {
                path: name.clone(),
                line: lines.n_lines,
                reason,
            }),
            Err(source) => Err(ReportError::Read {
                path: name.clone(),
                source,
            }),
        };
        is_over = row.is_err();
        Some(row)
    }))
}

/// Lines with their place in the file.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    /// Lines given so far.
    pub n_lines: u64,
    /// Where the next one begins, bytes.
    pub end: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            n_lines: 0,
            end: 0,
        }
    }

    /// The next line without its end; `None` when there is none, or when its end is missing. One that is too long
    /// is an error: it is not the end of the file.
    pub(super) fn next_whole(&mut self) -> std::io::Result<Option<&[u8]>> {
        self.line.clear();
        let mut bounded = Read::take(&mut self.reader, MAX_ROW_BYTES);
        let n_bytes = bounded.read_until(b'\n', &mut self.line)?;
        if self.line.last() != Some(&b'\n') {
            if n_bytes as u64 == MAX_ROW_BYTES {
                let message = format!(
                    "line {} has more than {MAX_ROW_BYTES} bytes",
                    self.n_lines + 1
                );
                return Err(std::io::Error::new(
                    std::io::ErrorKind::InvalidData,
                    message,
                ));
            }
            return Ok(None);
        }
        self.n_lines += 1;
        self.end += n_bytes as u64;
        Ok(Some(&self.line[..n_bytes - 1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_not_the_end_of_the_file() {
        let mut text = b"first\n".to_vec();
        text.resize(text.len() + MAX_ROW_BYTES as usize, b'x');
        text.extend_from_slice(b"\nlast\n");
        let mut lines = Lines::new(&text[..]);
        assert_eq!(
            lines.next_whole().expect("a line"),
            Some(b"first".as_slice())
        );
        let error = lines.next_whole().expect_err("too long");
        assert!(error.to_string().starts_with("line 2 "), "{error}");
        let mut lines = Lines::new(&b"first\ncut o"[..]);
        assert!(lines.next_whole().expect("a line").is_some());
        assert_eq!(lines.next_whole().expect("the end"), None);
    }
}
