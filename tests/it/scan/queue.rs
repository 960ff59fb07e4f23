//! Findings of scans in the review queue of a home.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use touchstone::domain::{FindingSource, FindingStatus};
use touchstone::store::{FindingFilter, FindingRecord, Store};

use super::{NOTHING, Scene};
use crate::cli::COPY;

const QUEUED: [&str; 2] = ["--queue-days", "30"];

/// What waits in the queue of the scene's home.
fn queued(scene: &Scene) -> Vec<FindingRecord> {
    let store = Store::open(&scene.program.path("home")).expect("a database");
    store.findings(&FindingFilter::default()).expect("a list")
}

/// In how many listings there are findings.
fn listings(findings: &[FindingRecord]) -> BTreeSet<String> {
    let listings = findings.iter().filter_map(|f| f.listing.as_ref());
    listings.map(|l| l.listing_id.clone()).collect()
}

#[test]
fn what_a_scan_finds_waits_for_a_decision_with_its_photo() {
    let scene = Scene::new();
    let manifest = scene.manifest(9);
    let out = scene.path("out.jsonl");
    scene
        .program
        .done(&Scene::arguments(&manifest, &out, &QUEUED));
    let findings = queued(&scene);
    let rows = scene.rows("out.jsonl");
    let n_found = |row: &Value| row["findings"].as_array().map_or(0, Vec::len);
    assert_eq!(findings.len(), rows.iter().map(n_found).sum::<usize>());
    assert!(listings(&findings).len() >= 3, "{rows:?}");
    let clusters: BTreeSet<_> = findings.iter().map(|f| f.photo.cluster).collect();
    assert_eq!(clusters.len(), 1, "one decision is for all of them");
    let store = Store::open(&scene.program.path("home")).expect("a database");
    for finding in &findings {
        assert_eq!(finding.source, FindingSource::Scan);
        assert_eq!(finding.status, FindingStatus::Open);
        let photo = store.finding_photo(finding.id).expect("there");
        assert!(photo.is_some_and(|bytes| image_is(&bytes)));
        let listing = finding.listing.as_ref().expect("in a listing");
        assert!(listing.seller.is_some());
    }
    // The same again finds nothing more.
    let again = scene.path("again.jsonl");
    scene
        .program
        .done(&Scene::arguments(&manifest, &again, &QUEUED));
    let ids = |findings: &[FindingRecord]| findings.iter().map(|f| f.id).collect::<BTreeSet<_>>();
    assert_eq!(ids(&queued(&scene)), ids(&findings));
}

/// Whether they are those of the copy.
fn image_is(bytes: &[u8]) -> bool {
    bytes.starts_with(&std::fs::read(COPY).expect("a fixture"))
}

#[test]
fn a_photo_that_is_not_looked_at_again_is_queued_for_a_new_listing() {
    let scene = Scene::new();
    let (copy, nothing) = (
        scene.photo("copy.jpg", COPY),
        scene.photo("nothing.jpg", NOTHING),
    );
    let line = |id: &str| {
        let line = json!({"listing_id": id, "photos": [copy, nothing]});
        format!("{line}\n")
    };
    // Twice in one scan, of which one look is enough.
    let manifest = scene.write("first-listings.jsonl", &(line("L-1") + &line("L-2")));
    let first = scene.path("first.jsonl");
    scene
        .program
        .done(&Scene::arguments(&manifest, &first, &[]));
    assert!(queued(&scene).is_empty(), "nobody asked for it");
    let since = ["--since", first.as_str()];
    let longer = scene.write("longer.jsonl", &(line("L-1") + &line("L-2") + &line("L-3")));
    // The earlier scan kept no photo to show: the one with findings is looked at once more.
    let second = scene.path("second.jsonl");
    let more = [&since[..], &QUEUED].concat();
    scene
        .program
        .done(&Scene::arguments(&longer, &second, &more));
    let all = ["L-1", "L-2", "L-3"].map(str::to_owned);
    assert_eq!(listings(&queued(&scene)), BTreeSet::from(all));
    let works = |name: &str, work: &str| {
        let rows = scene.rows(name);
        rows.iter().filter(|row| row["work"] == work).count()
    };
    assert_eq!(works("second.jsonl", "computed"), 1);
    // Now it is at hand.
    let longest = scene.write("longest.jsonl", &(line("L-3") + &line("L-4")));
    let third = scene.path("third.jsonl");
    scene
        .program
        .done(&Scene::arguments(&longest, &third, &more));
    assert_eq!(works("third.jsonl", "computed"), 0);
    assert!(listings(&queued(&scene)).contains("L-4"));
}
