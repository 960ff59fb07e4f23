//! CSV text cut into records, none longer than a bound.
//!
//! A quote that is opened and never closed would make one cell of everything behind it. Here it costs the
//! line that it stands in: what follows is read again, each line as a record of its own.

use std::io::{self, BufRead};

use super::rows::MAX_LINE_BYTES;

const NOT_CLOSED: &str = "a quote is opened that is not closed before the next cell";

/// A record as it stands in the file, with its quotes and its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The line that it begins in; the first is 1.
    pub line: u64,
    /// Its text, or what is wrong with it.
    pub text: Result<Vec<u8>, String>,
}

/// The records of a file, cut where the `csv` crate does.
pub(super) struct Records<R> {
    reader: R,
    /// Lines of a record that came to no end, behind its first, and how much of them is read again.
    again: Vec<u8>,
    n_read_again: usize,
    line: u64,
}

/// Where in a record one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    CellStart,
    Cell,
    Quoted,
    /// Behind a quote within quotes: their end, or the first of two that stand for one.
    ClosingQuote,
}

impl<R: BufRead> Records<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            again: Vec::new(),
            n_read_again: 0,
            line: 1,
        }
    }

    /// The line that the next record begins in.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next record that is no empty line; `None` at the end.
    ///
    /// # Errors
    /// Those of the reader; what is wrong with a record is told in its place.
    pub fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            let record = self.cut_record()?;
            let is_empty = record
                .as_ref()
                .is_some_and(|record| matches!(record.text.as_deref(), Ok(b"\n" | b"\r")));
            if !is_empty {
                return Ok(record);
            }
        }
    }

    fn cut_record(&mut self) -> io::Result<Option<Record>> {
        let line = self.line;
        let (mut text, mut at, mut spans_lines) = (Vec::new(), At::CellStart, false);
        let wrong = loop {
            let is_again = self.n_read_again < self.again.len();
            let Some(byte) = self.next_byte()? else {
                if at == At::Quoted {
                    break NOT_CLOSED.to_owned();
                }
                let is_end = text.is_empty();
                let text = Ok(text);
                return Ok((!is_end).then_some(Record { line, text }));
            };
            text.push(byte);
            let is_line_end = is_line_end(byte);
            at = match (at, byte) {
                (At::Quoted, b'"') => At::ClosingQuote,
                (At::CellStart | At::ClosingQuote, b'"') => At::Quoted,
                // These lines were read as part of a record without an end: another one would have none.
                (At::Quoted, _) if is_line_end && is_again => break NOT_CLOSED.to_owned(),
                (At::Quoted, _) => {
                    spans_lines |= is_line_end;
                    At::Quoted
                }
                _ if is_line_end => {
                    let text = Ok(text);
                    return Ok(Some(Record { line, text }));
                }
                (_, b',') => At::CellStart,
                // It closed nothing, but opened a cell of a later line.
                (At::ClosingQuote, _) if spans_lines && !byte.is_ascii_whitespace() => {
                    break NOT_CLOSED.to_owned();
                }
                _ => At::Cell,
            };
            if text.len() > MAX_LINE_BYTES {
                break format!("a record of more than {MAX_LINE_BYTES} bytes");
            }
        };
        self.pass_first_line(line, text)?;
        let text = Err(wrong);
        Ok(Some(Record { line, text }))
    }

    /// Goes on behind the first line of `text`, which begins in `line` and was read already.
    fn pass_first_line(&mut self, line: u64, mut text: Vec<u8>) -> io::Result<()> {
        let Some(end) = text.iter().position(|byte| is_line_end(*byte)) else {
            while let Some(byte) = self.next_byte()? {
                if is_line_end(byte) {
                    break;
                }
            }
            return Ok(());
        };
        let rest = text.split_off(end + 1);
        // A record that spans lines has none of them from `again`, or what it had is used up.
        if !rest.is_empty() {
            self.again = rest;
            self.n_read_again = 0;
            self.line = line + u64::from(text[end] == b'\n');
        }
        Ok(())
    }

    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        let byte = match self.again.get(self.n_read_again) {
            Some(byte) => {
                self.n_read_again += 1;
                *byte
            }
            None => {
                let Some(byte) = self.reader.fill_buf()?.first().copied() else {
                    return Ok(None);
                };
                self.reader.consume(1);
                byte
            }
        };
        self.line += u64::from(byte == b'\n');
        Ok(Some(byte))
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records by line; of those that are wrong, why.
    fn records_of(text: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let mut records = Records::new(text);
        std::iter::from_fn(|| records.next_record().expect("memory"))
            .map(|record| {
                let text = record
                    .text
                    .map(|text| String::from_utf8_lossy(&text).into());
                (record.line, text)
            })
            .collect()
    }

    fn good(line: u64, text: &str) -> (u64, Result<String, String>) {
        (line, Ok(text.to_owned()))
    }

    fn wrong(line: u64) -> (u64, Result<String, String>) {
        (line, Err(NOT_CLOSED.to_owned()))
    }

    #[test]
    fn records_are_cut_where_the_csv_crate_cuts_them() {
        let letters = b"a,\"\r\n";
        let mut n_compared = 0;
        for code in 0..letters.len().pow(6) {
            let text: Vec<u8> = (0..6)
                .map(|place| letters[code / letters.len().pow(place) % letters.len()])
                .collect();
            let records = records_of(&text);
            if records.iter().any(|(_, record)| record.is_err()) {
                continue;
            }
            let mut whole = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(&text[..]);
            let expected: Vec<csv::ByteRecord> = whole
                .byte_records()
                .map(|record| record.expect("memory"))
                .collect();
            let cut: Vec<csv::ByteRecord> = records
                .iter()
                .flat_map(|(_, record)| {
                    let text = record.as_ref().expect("good").as_bytes();
                    csv::ReaderBuilder::new()
                        .has_headers(false)
                        .flexible(true)
                        .from_reader(text)
                        .into_byte_records()
                        .map(|record| record.expect("memory"))
                })
                .collect();
            assert_eq!(cut, expected, "{:?}", String::from_utf8_lossy(&text));
            n_compared += 1;
        }
        // So many have no quote at all.
        assert!(n_compared > 4096, "{n_compared}");
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_line() {
        assert_eq!(
            records_of(b"a,b\n1,\"15 inch\n2,b\n3,b"),
            [good(1, "a,b\n"), wrong(2), good(3, "2,b\n"), good(4, "3,b")]
        );
        // The next quote closes what it should open.
        assert_eq!(
            records_of(b"1,\"15 inch\n2,b\n3,\"c\"\n4,\"d\ne\"\n"),
            [
                wrong(1),
                good(2, "2,b\n"),
                good(3, "3,\"c\"\n"),
                good(4, "4,\"d\ne\"\n"),
            ]
        );
        assert_eq!(
            records_of(b"1,\"a\r\n2,\"b\r\n3,c\r\n"),
            [wrong(1), wrong(2), good(3, "3,c\r")]
        );
        assert_eq!(records_of(b"\""), [wrong(1)]);
        assert_eq!(records_of(b"a\n\"b"), [good(1, "a\n"), wrong(2)]);
        assert!(records_of(b"").is_empty());
    }

    #[test]
    fn a_record_is_no_longer_than_its_bound() {
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        let never_closed = format!("{}\",\"\n", "a".repeat(95));
        for text in [
            format!("{long}\n2,b\n"),
            // Lines of a cell that never ends are looked at once more, not once for each before them.
            format!("\"a\n{}2,b\n", never_closed.repeat(MAX_LINE_BYTES / 80)),
        ] {
            let records = records_of(text.as_bytes());
            assert!(records[0].1.is_err());
            assert_eq!(records.last().expect("some").1, Ok("2,b\n".to_owned()));
        }
    }
}
