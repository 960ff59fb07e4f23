//! Whether a finished scan is one of what its source has now, where nothing but the source itself can tell: of a
//! folder, a pattern, standard input or what lies below a key in a store there is no age to compare.

use std::iter::Peekable;
use std::path::Path;

use crate::engine::ScanUnit;
use crate::report::read_rows;
use crate::scanning::is_next;

/// How the rows of a finished scan stand to its source.
pub(super) enum Finished {
    /// It has the same photos.
    Whole,
    /// It has the same photos, and more behind them.
    Front {
        /// Rows that are there.
        n_rows: u64,
    },
    /// It has others.
    Other,
}

impl Finished {
    /// Compares the file `rows` with the source, photo by photo; `n_rows` is how many there should be, if that is
    /// known. What of `units` is in the rows is taken.
    ///
    /// # Errors
    /// Why the file cannot be read at all, or the source cannot be read on.
    pub(super) fn of(
        rows: &Path,
        n_rows: Option<u64>,
        units: &mut Peekable<impl Iterator<Item = ScanUnit>>,
    ) -> anyhow::Result<Self> {
        let mut n_same = 0;
        for row in read_rows(rows)? {
            check(units.peek())?;
            // What is no row is of no scan of this source.
            if !row.is_ok_and(|row| is_next(units, &row).is_ok()) {
                return Ok(Self::Other);
            }
            n_same += 1;
        }
        if n_rows.is_some_and(|n_rows| n_rows != n_same) {
            return Ok(Self::Other);
        }
        check(units.peek())?;
        Ok(match units.peek() {
            None => Self::Whole,
            Some(_) => Self::Front { n_rows: n_same },
        })
    }
}

fn check(next: Option<&ScanUnit>) -> anyhow::Result<()> {
    match next.and_then(ScanUnit::broken_off) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
