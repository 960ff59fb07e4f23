//! The answers of an earlier scan, where they may be used at all.

use std::path::Path;

use anyhow::{Context, bail};
use jiff::civil::Date;

use crate::domain::{FileDigest, ScanStamp};
use crate::engine::{EarlierAnswer, EarlierAnswers};
use crate::report::{EarlierRows, ScanIdentity, SummaryFile};

/// A finished scan whose answers are looked up.
pub(super) struct EarlierScan {
    rows: EarlierRows,
    began_on: Option<Date>,
}

impl EarlierScan {
    /// Opens the JSONL results of an earlier scan; `None`, with a warning, when its answers cannot be
    /// compared with those of now.
    pub(super) fn open(path: &Path, now: &ScanIdentity) -> anyhow::Result<Option<Self>> {
        let reading = || format!("reading the earlier scan {}", path.display());
        let Some(summary) = SummaryFile::read(path).with_context(reading)? else {
            bail!(
                "{} is no finished scan: {} is missing",
                path.display(),
                SummaryFile::path_of(path).display()
            );
        };
        // The registry's revision is looked at photo by photo; the rest decides nothing about a photo.
        let no_matter = [
            "registry_revision",
            "source",
            "shard",
            "fetches_urls",
            "stores",
        ];
        if let Some(difference) = now.difference_but_for(&summary.scan, &no_matter) {
            tracing::warn!(
                "nothing of {} can be used, and every photo is looked at: {difference}",
                path.display()
            );
            return Ok(None);
        }
        let began_on = summary.began_on();
        let rows = EarlierRows::open(path).with_context(reading)?;
        Ok(rows.map(|rows| Self { rows, began_on }))
    }
}

impl EarlierAnswers for EarlierScan {
    fn stamp(&self) -> &ScanStamp {
        self.rows.stamp()
    }

    fn began_on(&self) -> Option<Date> {
        self.began_on
    }

    fn answer(&self, photo: &FileDigest) -> Option<EarlierAnswer> {
        let row = self.rows.row(photo)?;
        let verdict = row.outcome.ok()?;
        let mut findings = verdict.findings;
        for finding in &mut findings {
            finding.authorised_seller = false;
        }
        Some(EarlierAnswer {
            mark: row.mark?,
            findings,
            photo_size: verdict.photo_size,
        })
    }
}
