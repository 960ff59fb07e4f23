//! Pages from the second on, and the links between pages.

use std::fs;
use std::path::{Path, PathBuf};

use askama::Template;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::{Output, ReportError};
use super::page::rendered;

/// Where pages go.
#[derive(Debug)]
pub(super) enum Pages {
    /// All findings stand on one.
    One,
    /// The first has a name, the others have numbers in a folder.
    Many {
        /// The folder.
        folder: PathBuf,
        /// Name of the first page.
        first: String,
    },
}

/// What stands in an address as it is.
const ADDRESS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Pages {
    pub(super) fn beside(destination: &Path) -> Self {
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        match target.file_name() {
            Some(first) if !Output::is_stream(destination) => Self::Many {
                folder: target.with_extension("pages"),
                first: first.to_string_lossy().into_owned(),
            },
            _ => Self::One,
        }
    }

    /// Opens a page from the second on.
    pub(super) fn create(&self, page: usize) -> Result<Output, ReportError> {
        let Self::Many { folder, .. } = self else {
            unreachable!("one page has no second");
        };
        fs::create_dir_all(folder).map_err(|source| ReportError::Create {
            destination: folder.display().to_string(),
            source,
        })?;
        Output::create(&folder.join(format!("{page}.html")))
    }

    /// Removes pages of a longer report that stood here before.
    pub(super) fn remove_after(&self, n_pages: usize) {
        let Self::Many { folder, .. } = self else {
            return;
        };
        let mut page = n_pages.max(1) + 1;
        while fs::remove_file(folder.join(format!("{page}.html"))).is_ok() {
            page += 1;
        }
        // Stays when something else is in it, or a page.
        let _ = fs::remove_dir(folder);
    }

    /// The links on `page`; empty when it is the only one.
    pub(super) fn links(&self, page: usize, n_pages: usize) -> String {
        let Self::Many { folder, first } = self else {
            return String::new();
        };
        if n_pages == 1 {
            return String::new();
        }
        let address = |text: &str| utf8_percent_encode(text, ADDRESS).to_string();
        let folder = folder.file_name().unwrap_or_default().to_string_lossy();
        let address_of = |other: usize| match (page, other) {
            (1, 1) => address(first),
            (_, 1) => format!("../{}", address(first)),
            (1, other) => format!("{}/{other}.html", address(&folder)),
            (_, other) => format!("{other}.html"),
        };
        // Few enough to read: the ends, and what is near.
        let mut shown: Vec<usize> = (page.saturating_sub(3)..=page + 3)
            .chain([1, n_pages])
            .filter(|other| (1..=n_pages).contains(other))
            .collect();
        shown.sort_unstable();
        shown.dedup();
        let mut before = 0;
        let entries = shown
            .into_iter()
            .map(|number| {
                let has_gap = number > before + 1;
                before = number;
                Link {
                    number,
                    has_gap,
                    address: address_of(number),
                }
            })
            .collect();
        rendered(&Links {
            page,
            n_pages,
            earlier: (page > 1).then(|| address_of(page - 1)),
            later: (page < n_pages).then(|| address_of(page + 1)),
            entries,
        })
    }
}

struct Link {
    number: usize,
    /// Whether pages before it are left out.
    has_gap: bool,
    address: String,
}

#[derive(Template)]
#[template(path = "report_pages.html")]
struct Links {
    page: usize,
    n_pages: usize,
    earlier: Option<String>,
    later: Option<String>,
    entries: Vec<Link>,
}
