//! A small made-up scan for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::{ScanIdentity, Summary};
use crate::domain::{
    AssetId, AssetKind, Finding, FindingKind, Listing, Measurements, ModelId, PhotoMark,
    PhotoVerdict, Region, ScanStamp, ScannedPhoto, StageTimings, Verdict, Work,
};

pub(super) const TIMINGS: StageTimings = StageTimings {
    prepare: 3.125,
    embed: 20.25,
    find_candidates: 1.5,
    verify: 9.0,
    judge: 0.125,
};

fn listing(value: serde_json::Value) -> Arc<Listing> {
    Arc::new(serde_json::from_value(value).expect("a listing"))
}

fn scanned(
    listing: &Arc<Listing>,
    photo: &str,
    outcome: Result<PhotoVerdict, String>,
) -> ScannedPhoto {
    ScannedPhoto {
        listing: Arc::clone(listing),
        photo: photo.into(),
        sha256: outcome.is_ok().then(|| "ab12".repeat(16)),
        mark: outcome.is_ok().then_some(PhotoMark {
            hash: [0x5a; 32],
            sides: [0x3c; 32],
        }),
        work: Work::Computed,
        read_ms: 0.5,
        stamp: Arc::new(ScanStamp {
            taught: None,
            model: ModelId("lite0-windows@4".into()),
            registry: "9f2c".into(),
            registry_revision: 12,
        }),
        outcome,
    }
}

fn judged(verdict: Verdict, findings: Vec<Finding>) -> Result<PhotoVerdict, String> {
    Ok(PhotoVerdict {
        verdict,
        findings,
        photo_size: [1024, 768],
        timings_ms: TIMINGS,
    })
}

/// A copy that any test may change.
pub(super) fn finding() -> Finding {
    Finding {
        asset_id: AssetId(7),
        asset: "Oat milk, 1 litre".into(),
        brand: "Oatly".into(),
        asset_kind: AssetKind::Packaging,
        kind: FindingKind::StolenPhoto,
        region: Region::new(120.25, 80.0, 520.0, 640.5),
        probability: 0.9724,
        untaught_probability: None,
        promise: None,
        measurements: Measurements {
            window_similarity: Some(0.8125),
            inliers: Some(41.0),
            ..Measurements::default()
        },
        authorised_seller: false,
        reasons: vec![
            "41 points agree under a mirrored, 78 % scale transform".into(),
            "word OATLY read with confidence 0.97, and nearest other brand (God Morgon) 0.31 lower"
                .into(),
        ],
    }
}

/// Five photos of three listings: two findings, one for review, an authorised one, none, a failure.
pub(super) fn scan() -> Vec<ScannedPhoto> {
    let dairy = listing(json!({
        "listing_id": "L-1", "title": "Oat drink <b>6 x 1 l</b> & more", "price": 11.9,
        "currency": "EUR", "url": "https://shop.example/L-1", "warehouse": {"row": 7},
        "seller": {"id": "s-9", "name": "=Fresh & Co", "country": "SE", "since": 2019}
    }));
    let tea = listing(json!({"listing_id": "緑茶-2", "title": "緑茶 お~いお茶"}));
    let plain = listing(json!({"listing_id": "L-3"}));
    let review = Finding {
        asset_id: AssetId(9),
        asset: "Wordmark".into(),
        asset_kind: AssetKind::Logo,
        kind: FindingKind::AlteredLogo,
        probability: 0.5,
        reasons: vec!["word OATLEY read, one letter from OATLY".into()],
        ..finding()
    };
    let foreign = Finding {
        brand: "伊藤園".into(),
        asset: "お~いお茶".into(),
        ..review.clone()
    };
    let authorised = Finding {
        authorised_seller: true,
        ..finding()
    };
    vec![
        scanned(
            &dairy,
            "photos/oat.jpg",
            judged(Verdict::Flagged, vec![finding(), review]),
        ),
        scanned(
            &tea,
            "写真/緑茶.jpg",
            judged(Verdict::Review, vec![foreign]),
        ),
        scanned(
            &plain,
            "photos/own.jpg",
            judged(Verdict::Clear, vec![authorised]),
        ),
        scanned(&plain, "photos/nothing.jpg", judged(Verdict::Clear, vec![])),
        scanned(
            &plain,
            "photos/broken.jpg",
            Err("decoding photos/broken.jpg: the file ends after 12 bytes".into()),
        ),
    ]
}

/// The summary of [`scan`].
pub(super) fn summary() -> Summary {
    let mut summary = Summary::default();
    for scanned in scan() {
        summary.add(&scanned);
    }
    summary
}

/// What the scan is of.
pub(super) fn identity() -> ScanIdentity {
    ScanIdentity {
        touchstone: "0.1.0".into(),
        stamp: (*scan()[0].stamp).clone(),
        files: BTreeMap::new(),
        review_at: 0.35,
        flag_at: 0.9,
        stages: "all".into(),
        source: "l.jsonl".into(),
        shard: None,
        fetches_urls: false,
        stores: Vec::new(),
        source_state: None,
    }
}
