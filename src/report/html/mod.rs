//! The summary, a card for each of the most probable findings, the failures: a page, and when there are many
//! findings, further pages in a folder beside it.
//!
//! No page loads anything: pictures are data URIs, and the content security policy allows only a page's
//! own style and script, by hash. It reads well without the script, which adds filters and sorting.

mod card;
mod kept;
mod page;
mod pages;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rayon::prelude::*;

use self::card::Card;
use self::kept::{KeptFinding, MostProbable};
use self::page::{AssetPicture, Failure, Foot, Head, Symbols};
use self::pages::Pages;
use super::{Output, ReportError, ScanWriter, Summary};
use crate::domain::{AssetId, ScannedPhoto};

/// Gives the JPEG of an asset's reference picture; `None` when there is none. Called once for each
/// asset on a page, when the page is written.
pub type AssetThumbnails<'a> = Box<dyn FnMut(AssetId) -> Option<Vec<u8>> + Send + 'a>;

/// Gives a JPEG of the whole upright photo of this name; `None` when there is none. Called once for each
/// photo on a page, when the page is written, from several threads.
pub type PhotoThumbnails<'a> = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'a>;

/// Findings that are shown unless told otherwise; the scan holds some 30 MB of memory for them.
pub const MAX_FINDINGS: usize = 10_000;

/// Findings on a page. With thumbnails of 320 pixels it has up to 5 MB then, which opens at once.
pub const PAGE_FINDINGS: usize = 100;

/// Failures that are listed; all are counted.
const MAX_FAILURES: usize = 500;

/// What the page is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HtmlOptions {
    /// What was scanned, for the heading: a folder or a manifest.
    pub source: String,
    /// When, in words that a person reads.
    pub made_at: String,
    /// Findings that are shown: the most probable ones; 0 is allowed.
    pub max_findings: usize,
    /// Findings on a page, 1 at least. What goes to standard output is one page, whatever this says.
    pub page_findings: usize,
}

/// Where a page's pictures come from.
pub struct Thumbnails<'a> {
    /// Of the listings' photos.
    pub photos: PhotoThumbnails<'a>,
    /// Of what is registered.
    pub assets: AssetThumbnails<'a>,
}

/// Writes the pages; memory depends on [`HtmlOptions::max_findings`], not on the length of the scan.
pub struct HtmlReport<'a> {
    output: Output,
    pages: Pages,
    options: HtmlOptions,
    thumbnails: Thumbnails<'a>,
    kept: MostProbable,
    failures: Vec<Failure>,
}

impl<'a> HtmlReport<'a> {
    /// Writes to `destination` when finished; pages from the second on go to the folder with the same
    /// name that ends in `.pages`.
    ///
    /// # Errors
    /// [`ReportError::Create`] when nothing can be written there.
    pub fn new(
        destination: &Path,
        options: HtmlOptions,
        thumbnails: Thumbnails<'a>,
    ) -> Result<Self, ReportError> {
        Ok(Self {
            output: Output::create(destination)?,
            pages: Pages::beside(destination),
            kept: MostProbable::new(options.max_findings),
            options,
            thumbnails,
            failures: Vec::new(),
        })
    }
}

/// Width and height of the picture of each asset on the page, if it has one.
type Sizes = BTreeMap<AssetId, Option<[u32; 2]>>;

fn write_assets(
    output: &mut Output,
    asset_thumbnail: &mut AssetThumbnails<'_>,
    cards: &[KeptFinding],
) -> Result<Sizes, ReportError> {
    let mut sizes = Sizes::new();
    output.write_record(Symbols::OPENING.as_bytes())?;
    for kept in cards {
        let id = kept.finding.asset_id;
        if sizes.contains_key(&id) {
            continue;
        }
        let picture = asset_thumbnail(id).and_then(|jpeg| AssetPicture::new(id, &jpeg));
        sizes.insert(id, picture.as_ref().map(AssetPicture::size));
        if let Some(picture) = picture {
            output.write_record(picture.html().as_bytes())?;
        }
    }
    output.write_record(Symbols::CLOSING.as_bytes())?;
    Ok(sizes)
}

fn write_cards(
    output: &mut Output,
    thumbnails: &mut Thumbnails<'_>,
    cards: &[KeptFinding],
    first: usize,
) -> Result<(), ReportError> {
    let sizes = write_assets(output, &mut thumbnails.assets, cards)?;
    let mut names: Vec<&str> = cards.iter().map(|kept| kept.photo.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let photos: HashMap<&str, Option<Vec<u8>>> = names
        .into_par_iter()
        .map(|name| (name, (thumbnails.photos)(name)))
        .collect();
    for (position, kept) in cards.iter().enumerate() {
        let photo = photos.get(kept.photo.as_str()).and_then(Option::as_deref);
        let asset_size = sizes.get(&kept.finding.asset_id).copied().flatten();
        let card = Card::new(first + position, kept, photo, asset_size);
        output.write_record(card.html().as_bytes())?;
    }
    Ok(())
}

impl ScanWriter for HtmlReport<'_> {
    fn write(&mut self, scanned: &ScannedPhoto) -> Result<(), ReportError> {
        match &scanned.outcome {
            Ok(photo) => self.kept.add(scanned, photo),
            Err(error) if self.failures.len() < MAX_FAILURES => {
                self.failures.push(Failure::new(scanned, error));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<(), ReportError> {
        let cards = std::mem::take(&mut self.kept).into_sorted();
        let per_page = match &self.pages {
            Pages::One => cards.len().max(1),
            Pages::Many { .. } => self.options.page_findings.max(1),
        };
        let n_pages = cards.len().div_ceil(per_page).max(1);
        let foot = Foot::new(&self.failures, summary.n_failed);
        // The first page last: it is complete when it appears.
        for page in (1..=n_pages).rev() {
            let first = (page - 1) * per_page;
            let on_page = &cards[first..cards.len().min(first + per_page)];
            let mut further = match page {
                1 => None,
                _ => Some(self.pages.create(page)?),
            };
            let output = further.as_mut().unwrap_or(&mut self.output);
            let links = self.pages.links(page, n_pages);
            let head = Head::new(&self.options, summary, on_page, cards.len());
            output.write_record(head.html(page, &links).as_bytes())?;
            write_cards(output, &mut self.thumbnails, on_page, first)?;
            output.write_record(foot.html(page, on_page.len(), &links).as_bytes())?;
            if let Some(further) = further {
                further.finish()?;
            }
        }
        self.output.finish()?;
        self.pages.remove_after(n_pages);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
