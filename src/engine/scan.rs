//! Many listings: all cores busy, bounded memory, one answer for every photo in the order given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::Engine;
use super::manifest::ManifestError;
use crate::domain::{FileDigest, Listing, PhotoVerdict, ScannedPhoto};

/// Photos handed out at once: enough to keep all cores busy, few enough to hold in memory.
const PHOTOS_PER_CORE: usize = 32;

/// One photo waiting to be looked at.
struct Job {
    listing: Arc<Listing>,
    photo: String,
    path: PathBuf,
}

/// What a scan tells its caller on the way.
pub enum ScanProgress {
    /// A photo was looked at, or could not be.
    Photo {
        /// What was found.
        scanned: Box<ScannedPhoto>,
        /// Where the photo lies.
        path: PathBuf,
    },
    /// A line of the manifest could not be read.
    BadLine(ManifestError),
}

impl Engine {
    /// Looks at all photos of `listings` and calls `take` for each, in their order. A photo that
    /// cannot be read is an answer like any other. `take` may end the scan with an error of its own.
    ///
    /// # Errors
    /// Only those of `take`.
    pub fn scan<E>(
        &self,
        listings: impl Iterator<Item = Result<(Listing, Vec<PathBuf>), ManifestError>>,
        mut take: impl FnMut(ScanProgress) -> Result<(), E>,
    ) -> Result<(), E> {
        let batch_size = self.settings.n_threads * PHOTOS_PER_CORE;
        let mut batch = Vec::with_capacity(batch_size);
        for listing in listings {
            match listing {
                Ok((listing, paths)) => {
                    let listing = Arc::new(listing);
                    // A listing with very many photos must not be held in memory whole either.
                    for (photo, path) in listing.photos.iter().cloned().zip(paths) {
                        let listing = Arc::clone(&listing);
                        batch.push(Job {
                            listing,
                            photo,
                            path,
                        });
                        if batch.len() == batch_size {
                            self.scan_batch(std::mem::take(&mut batch), &mut take)?;
                        }
                    }
                }
                Err(error) => {
                    self.scan_batch(std::mem::take(&mut batch), &mut take)?;
                    take(ScanProgress::BadLine(error))?;
                }
            }
        }
        self.scan_batch(batch, &mut take)
    }

    fn scan_batch<E>(
        &self,
        batch: Vec<Job>,
        take: &mut impl FnMut(ScanProgress) -> Result<(), E>,
    ) -> Result<(), E> {
        let scanned: Vec<_> = batch
            .into_par_iter()
            // One at a time: photos differ in cost, and a core with a run of large ones would hold up the rest.
            .with_max_len(1)
            .map(|job| {
                let scanned = self.scan_photo(&job.listing, job.photo, &job.path);
                (Box::new(scanned), job.path)
            })
            .collect();
        for (scanned, path) in scanned {
            take(ScanProgress::Photo { scanned, path })?;
        }
        Ok(())
    }

    fn scan_photo(&self, listing: &Arc<Listing>, photo: String, path: &Path) -> ScannedPhoto {
        let bytes = self.read_file(path);
        let sha256 = bytes
            .as_ref()
            .ok()
            .map(|bytes| FileDigest::of(bytes).to_hex());
        let outcome = bytes.and_then(|bytes| self.match_described(&bytes, listing));
        ScannedPhoto {
            listing: Arc::clone(listing),
            photo,
            sha256,
            outcome,
        }
    }

    fn match_described(&self, bytes: &[u8], listing: &Listing) -> Result<PhotoVerdict, String> {
        self.match_photo(bytes, listing.seller.as_ref())
            .map_err(|error| error.to_string())
    }
}
