//! What is made of the rows of a scan when all are there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::destinations::Destination;
use super::{MAX_GROUPS, Writers};
use crate::domain::{AssetId, ScannedPhoto};
use crate::engine::Engine;
use crate::engine::manifest::PhotoFinder;
use crate::report::{
    HtmlOptions, MAX_FINDINGS, PAGE_FINDINGS, Reuse, Summary, THUMBNAIL_SIDE_PX, Thumbnails,
    open_report, read_rows, thumbnail,
};

/// Documents that are being made, and the summary.
pub(super) struct Documents<'a> {
    writers: Writers<'a>,
    summary: Summary,
    reuse: Reuse,
}

impl<'a> Documents<'a> {
    /// Without an engine there are no pictures in them.
    pub(super) fn open(
        engine: Option<&'a Engine>,
        finder: PhotoFinder,
        source: &str,
        destinations: Vec<Destination>,
    ) -> anyhow::Result<Self> {
        let finder = Arc::new(finder);
        let mut writers = Writers::new();
        for destination in destinations {
            let options = HtmlOptions {
                source: source.to_owned(),
                made_at: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string(),
                max_findings: MAX_FINDINGS,
                page_findings: PAGE_FINDINGS,
            };
            let finder = Arc::clone(&finder);
            let thumbnails = Thumbnails {
                photos: Box::new(move |photo: &str| {
                    thumbnail_of_photo(engine?, &finder.bytes(photo)?)
                }),
                assets: Box::new(move |asset| thumbnail_of_asset(engine?, asset)),
            };
            writers.push(open_report(
                destination.format,
                &destination.path,
                options,
                thumbnails,
            )?);
        }
        Ok(Self {
            writers,
            summary: Summary::default(),
            reuse: Reuse::default(),
        })
    }

    pub(super) fn add(&mut self, scanned: &ScannedPhoto) -> anyhow::Result<()> {
        self.summary.add(scanned);
        self.reuse.add(scanned);
        for writer in &mut self.writers {
            writer.write(scanned)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self, elapsed: Duration, n_resumed: u64) -> anyhow::Result<Summary> {
        self.summary.elapsed = elapsed;
        self.summary.n_resumed = n_resumed;
        self.summary.reuse = self.reuse.largest(MAX_GROUPS);
        self.summary.n_reuse_forgotten = self.reuse.n_forgotten();
        for writer in self.writers {
            writer.finish(&self.summary)?;
        }
        Ok(self.summary)
    }
}

/// Makes the documents of a file of rows.
pub(super) fn summarised(
    rows: &Path,
    mut documents: Documents<'_>,
    elapsed: Duration,
    n_resumed: u64,
) -> anyhow::Result<Summary> {
    for row in read_rows(rows)? {
        documents.add(&row?)?;
    }
    documents.finish(elapsed, n_resumed)
}

fn thumbnail_of_photo(engine: &Engine, bytes: &[u8]) -> Option<Vec<u8>> {
    let picture = engine.prepare(bytes).ok()?;
    thumbnail(&picture.pixels, THUMBNAIL_SIDE_PX).ok()
}

/// The first picture of an asset, on the ground that shows it.
fn thumbnail_of_asset(engine: &Engine, asset: AssetId) -> Option<Vec<u8>> {
    let picture = engine.reference_picture(asset).ok()??;
    thumbnail(&picture.pixels, THUMBNAIL_SIDE_PX).ok()
}
