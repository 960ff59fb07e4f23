use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};

use super::*;
use crate::domain::{Embedding, ModelId};
use crate::embed::fake::FakeEmbedder;
use crate::embed::{DescribedPhoto, DescribedReference, EmbedError, Embedder};
use crate::engine::manifest::ManifestError;
use crate::engine::{Stages, fake};
use crate::matching::judge::Judge;
use crate::store::Store;

#[test]
fn bad_lines_keep_their_place_and_every_unit_is_in_one_shard() {
    let listings = || -> Listings {
        let listing = |id: usize| Listing {
            listing_id: format!("L-{id}"),
            photos: vec!["a".into(), "b".into()],
            ..Listing::default()
        };
        Box::new((0..9).map(move |id| match id {
            4 => Err(ManifestError::BadLine {
                source_name: "l.csv line 5".into(),
                reason: "no photos".into(),
            }),
            _ => Ok((
                listing(id),
                vec![PhotoPlace::Held(vec![1]), PhotoPlace::Held(vec![2])],
            )),
        }))
    };
    let all: Vec<_> = scan_units(listings(), None).collect();
    assert_eq!(all.len(), 17);
    assert_eq!(all[8].place, PhotoPlace::Nowhere("no photos".into()));
    let shards = (1..=3).map(|number| Shard::new(number, 3).expect("a shard"));
    let mut parts: Vec<_> = shards
        .flat_map(|s| scan_units(listings(), Some(s)))
        .collect();
    assert_eq!(parts.len(), all.len());
    parts.retain(|unit| !all.contains(unit));
    assert!(parts.is_empty());
}

/// A network that fails at every photo.
#[derive(Default)]
struct Broken(FakeEmbedder);

impl Broken {
    fn error(&self) -> EmbedError {
        EmbedError::OutputShape {
            model: self.model().clone(),
            expected: [1, 2],
            actual: vec![1, 3],
        }
    }
}

impl Embedder for Broken {
    fn model(&self) -> &ModelId {
        self.0.model()
    }

    fn window_dim(&self) -> usize {
        self.0.window_dim()
    }

    fn whole_dim(&self) -> usize {
        self.0.whole_dim()
    }

    fn embed_reference(&self, _: &RgbImage) -> Result<DescribedReference, EmbedError> {
        Err(self.error())
    }

    fn embed_whole(&self, _: &RgbImage) -> Result<Embedding, EmbedError> {
        Err(self.error())
    }

    fn embed_windows(&self, _: &RgbImage) -> Result<DescribedPhoto, EmbedError> {
        Err(self.error())
    }
}

fn engine(folder: &Path, embedder: impl Embedder + 'static) -> Engine {
    let stages = Stages {
        words: false,
        ..Stages::all()
    };
    let judge = Judge {
        provenance: "made for tests".into(),
        models: BTreeMap::new(),
    };
    let store = Store::open_in_memory().expect("a store");
    fake::engine(folder, stages, judge, Box::new(embedder), store).expect("an engine")
}

fn unit(id: &str, place: PhotoPlace) -> ScanUnit {
    ScanUnit {
        listing: Arc::new(Listing {
            listing_id: id.into(),
            ..Listing::default()
        }),
        photo: "a.png".into(),
        place,
        breaks_off: false,
    }
}

fn picture() -> PhotoPlace {
    let picture = RgbImage::from_fn(96, 64, |x, y| Rgb([(2 * x) as u8, (3 * y) as u8, 90]));
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("memory");
    PhotoPlace::Held(bytes.into_inner())
}

/// Which listings were answered, and whether with a verdict; and how the scan ended.
fn scanned(
    engine: &Engine,
    units: impl Iterator<Item = ScanUnit> + Send + 'static,
) -> (Vec<(String, bool)>, Result<(), EngineError>) {
    let mut answers = Vec::new();
    let ended = engine.scan(units, &ScanOptions::default(), |scanned| {
        let id = scanned.listing.listing_id.clone();
        answers.push((id, scanned.outcome.is_ok()));
        Ok(())
    });
    (answers, ended)
}

#[test]
fn a_source_that_breaks_off_ends_the_scan_of_every_shard_with_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), FakeEmbedder::default());
    let listings = |breaks_off: bool| -> Listings {
        let listing = Listing {
            listing_id: "L-1".into(),
            photos: vec!["a".into()],
            ..Listing::default()
        };
        let (source_name, reason) = ("s3://b/photos/".to_owned(), "timed out".to_owned());
        let error = if breaks_off {
            ManifestError::BrokenOff {
                source_name,
                reason,
            }
        } else {
            ManifestError::BadLine {
                source_name,
                reason,
            }
        };
        Box::new([Ok((listing, vec![picture()])), Err(error)].into_iter())
    };
    let shards = (1..=3).map(|number| Shard::new(number, 3).expect("a shard"));
    let mut n_answers = 0;
    for shard in shards {
        let (answers, ended) = scanned(&engine, scan_units(listings(true), Some(shard)));
        let message = ended.expect_err("broken off").to_string();
        assert_eq!(message, "reading s3://b/photos/: timed out");
        n_answers += answers.len();
        let (_, ended) = scanned(&engine, scan_units(listings(false), Some(shard)));
        assert!(ended.is_ok(), "{ended:?}");
    }
    // What was read before is answered.
    assert_eq!(n_answers, 1);
}

#[test]
fn a_panic_of_the_reader_is_no_end_of_the_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), FakeEmbedder::default());
    let first = std::iter::once(unit("L-1", picture()));
    let (answers, ended) = scanned(&engine, first.chain(std::iter::from_fn(|| panic!("odd"))));
    assert_eq!(answers, [("L-1".to_owned(), true)]);
    let message = ended.expect_err("a panic").to_string();
    assert!(message.contains("odd"), "{message}");
}

#[test]
fn what_fails_on_this_side_is_no_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), Broken::default());
    let units = [
        unit("gone", PhotoPlace::Nowhere("gone".into())),
        unit("no picture", PhotoPlace::Held(b"<html>".to_vec())),
        unit("L-1", picture()),
        unit("gone too", PhotoPlace::Nowhere("gone".into())),
    ];
    let (answers, ended) = scanned(&engine, units.into_iter());
    let failed = ["gone", "no picture"].map(|id| (id.to_owned(), false));
    assert_eq!(answers, failed);
    let is_the_networks = matches!(ended, Err(EngineError::Embed(_)));
    assert!(is_the_networks, "{ended:?}");
}
