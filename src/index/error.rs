//! Why an index refuses.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What is wrong with a request, or with a saved index.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A vector of another length than the index holds.
    #[error("vector of {actual} numbers in an index of {expected}")]
    Dimension {
        /// The index's.
        expected: usize,
        /// The vector's.
        actual: usize,
    },
    /// Nothing has been saved in the folder.
    #[error("no saved index in {}", path.display())]
    NotSaved {
        /// The folder.
        path: PathBuf,
    },
    /// The saved index is of another registry, model or version: build it anew.
    #[error("the index in {} was saved for {found}, not for {expected}", path.display())]
    Stale {
        /// The folder.
        path: PathBuf,
        /// What it must be for.
        expected: String,
        /// What it is for.
        found: String,
    },
    /// The saved index is not what was once written: build it anew.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that was seen.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
