//! What a scan says to the person at the terminal.

use std::io::{self, IsTerminal, Write};

use indicatif::ProgressBar;

use crate::domain::ScannedPhoto;
use crate::engine::EngineError;
use crate::report::{Spool, Summary, TextStyle, write_summary};

/// Failures that are told one by one.
const MAX_TOLD: u64 = 100;

/// Says that what is done is kept, where an error is neither of the rows nor of their readers.
pub(super) fn told_to_go_on(error: anyhow::Error, spool: Option<&Spool>) -> anyhow::Error {
    match spool.filter(|_| error.is::<EngineError>()) {
        Some(spool) => {
            let rows = spool.path().display();
            error.context(format!(
                "the rows so far are in {rows}: run again with --resume"
            ))
        }
        None => error,
    }
}

/// Tells of a photo that failed, if not too many did before.
pub(super) fn tell(bar: &ProgressBar, scanned: &ScannedPhoto, n_told: &mut u64) {
    let Err(reason) = &scanned.outcome else {
        return;
    };
    *n_told += 1;
    if *n_told <= MAX_TOLD {
        let listing = &scanned.listing.listing_id;
        bar.suspend(|| eprintln!("{listing} {}: {reason}", scanned.photo));
    } else if *n_told == MAX_TOLD + 1 {
        bar.suspend(|| eprintln!("further failures are in the results and in the summary"));
    }
}

/// Prints what the scan came to.
pub(super) fn print_summary(summary: &Summary) -> anyhow::Result<()> {
    let style = TextStyle {
        colour: io::stderr().is_terminal(),
        ..TextStyle::default()
    };
    write_summary(&mut io::stderr().lock(), summary, style)?;
    io::stderr().flush()?;
    Ok(())
}
