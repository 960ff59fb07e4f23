//! One self-contained page: the summary, a card for each of the most probable findings, the failures.
//!
//! The page loads nothing: pictures are data URIs, and its content security policy allows only its
//! own style and script, by hash. It reads well without the script, which adds filters and sorting.

mod card;
mod kept;
mod page;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::card::Card;
use self::kept::{KeptFinding, MostProbable};
use self::page::{AssetPicture, Failure, Foot, Head, Symbols};
use super::{Output, ReportError, ScanWriter, Summary};
use crate::domain::{AssetId, ScannedPhoto};

/// Gives the JPEG of an asset's reference picture; `None` when there is none. Called once for each
/// asset on the page, when the page is finished.
pub type AssetThumbnails<'a> = Box<dyn FnMut(AssetId) -> Option<Vec<u8>> + Send + 'a>;

/// Findings that a page shows unless told otherwise. With thumbnails of 320 pixels the page has up to
/// 75 MB then, and the scan holds some 60 MB of memory for it (measured with 2,500 photos of shelves).
pub const MAX_FINDINGS: usize = 2_000;

/// Failures that are listed; all are counted.
const MAX_FAILURES: usize = 500;

/// What the page is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HtmlOptions {
    /// What was scanned, for the heading: a folder or a manifest.
    pub source: String,
    /// When, in words that a person reads.
    pub made_at: String,
    /// Findings on the page: the most probable ones; 0 is allowed.
    pub max_findings: usize,
}

/// Writes the page; memory depends on [`HtmlOptions::max_findings`], not on the length of the scan.
pub struct HtmlReport<'a> {
    output: Output,
    options: HtmlOptions,
    asset_thumbnail: AssetThumbnails<'a>,
    kept: MostProbable,
    failures: Vec<Failure>,
}

impl<'a> HtmlReport<'a> {
    /// Writes to `output` when finished.
    pub fn new(output: Output, options: HtmlOptions, asset_thumbnail: AssetThumbnails<'a>) -> Self {
        Self {
            output,
            kept: MostProbable::new(options.max_findings),
            options,
            asset_thumbnail,
            failures: Vec::new(),
        }
    }

    fn write_assets(&mut self, cards: &[KeptFinding]) -> Result<Sizes, ReportError> {
        let mut sizes = Sizes::new();
        self.output.write_record(Symbols::OPENING.as_bytes())?;
        for kept in cards {
            let id = kept.finding.asset_id;
            if sizes.contains_key(&id) {
                continue;
            }
            let picture = (self.asset_thumbnail)(id).and_then(|jpeg| AssetPicture::new(id, &jpeg));
            sizes.insert(id, picture.as_ref().map(AssetPicture::size));
            if let Some(picture) = picture {
                self.output.write_record(picture.html().as_bytes())?;
            }
        }
        self.output.write_record(Symbols::CLOSING.as_bytes())?;
        Ok(sizes)
    }
}

/// Width and height of the picture of each asset on the page, if it has one.
type Sizes = BTreeMap<AssetId, Option<[u32; 2]>>;

impl ScanWriter for HtmlReport<'_> {
    fn write(
        &mut self,
        scanned: &ScannedPhoto,
        photo_thumbnail: &mut dyn FnMut() -> Option<Vec<u8>>,
    ) -> Result<(), ReportError> {
        match &scanned.outcome {
            Ok(photo) => self.kept.add(scanned, photo, photo_thumbnail),
            Err(error) if self.failures.len() < MAX_FAILURES => {
                self.failures.push(Failure::new(scanned, error));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<(), ReportError> {
        let cards = std::mem::take(&mut self.kept).into_sorted();
        let head = Head::new(&self.options, summary, &cards);
        self.output.write_record(head.html().as_bytes())?;
        let sizes = self.write_assets(&cards)?;
        let n_cards = cards.len();
        for (position, kept) in cards.into_iter().enumerate() {
            let asset_size = sizes.get(&kept.finding.asset_id).copied().flatten();
            let card = Card::new(position, &kept, asset_size);
            self.output.write_record(card.html().as_bytes())?;
        }
        let foot = Foot::new(n_cards, &self.failures, summary.n_failed);
        self.output.write_record(foot.html().as_bytes())?;
        self.output.finish()
    }
}

/// A picture that several findings of one photo share.
type SharedJpeg = Option<Arc<[u8]>>;

#[cfg(test)]
mod tests;
