//! Sightings, decisions and what they mean for repeats, retention, look-back.

use serde_json::json;

use super::*;
use crate::domain::{
    AssetId, AssetKind, FileDigest, Finding, FindingKind, FindingSource, FindingStatus, Keep,
    Keeping, Listing, Measurements, ModelId, Opinion, PhotoId, Region, Seller,
};
use crate::store::{Store, StoreError};

fn store() -> Store {
    Store::open_in_memory().expect("a store")
}

pub(in crate::store) fn listing(id: &str, seller: &str) -> Listing {
    serde_json::from_value(json!({
        "listing_id": id, "photos": ["a.jpg"], "title": "Shoe", "colour": "red",
        "seller": { "id": seller, "rating": 4.5 },
    }))
    .expect("a listing")
}

fn finding(asset: i64, probability: f64) -> NewFinding {
    NewFinding {
        finding: Finding {
            asset_id: AssetId(asset),
            asset: format!("asset {asset}"),
            brand: if asset < 5 { "Acme" } else { "Luna" }.to_owned(),
            asset_kind: AssetKind::Logo,
            kind: FindingKind::LogoPresent,
            region: Region::new(1.0, 2.0, 3.0, 4.0),
            probability,
            measurements: Measurements::default(),
            untaught_probability: None,
            promise: None,
            authorised_seller: false,
            reasons: vec!["close".to_owned()],
        },
        nearest_other: None,
        model: ModelId("net@1".to_owned()),
        judge: Some(FileDigest::of(b"judge")),
    }
}

pub(in crate::store) fn photo(content: &str, cluster: Option<PhotoId>) -> NewPhoto {
    let sha256 = FileDigest::of(content.as_bytes());
    NewPhoto {
        sha256,
        width: 40,
        height: 30,
        hash: sha256.0.to_vec(),
        whole: vec![1, 2, 3],
        cluster,
        model: ModelId("net@1".to_owned()),
        description: content.as_bytes().to_vec(),
        compared_revision: 7,
        file: Some(content.as_bytes().to_vec()),
    }
}

pub(in crate::store) struct Seen {
    pub(in crate::store) id: crate::domain::FindingId,
    status: FindingStatus,
}

pub(in crate::store) fn see(
    store: &Store,
    photo: NewPhoto,
    listing: &Listing,
    keep: Keep,
    days: u32,
) -> Seen {
    let recorded = store.record_sighting(&NewSighting {
        photo,
        name: "a.jpg",
        listing: Some(listing),
        kept_as: None,
        findings: vec![finding(1, 0.8)],
        source: FindingSource::Screen,
        keeping: Keeping { keep, days },
        brands: None,
    });
    let (id, status) = recorded.expect("written").expect("kept")[0];
    Seen { id, status }
}

pub(in crate::store) fn decision(opinion: Opinion) -> NewDecision {
    NewDecision {
        opinion,
        reason: Some("looked".to_owned()),
        decided_by: "ann".to_owned(),
    }
}

fn cluster_of(store: &Store, seen: &Seen) -> PhotoId {
    store.finding(seen.id).expect("there").photo.cluster
}

fn status(store: &Store, seen: &Seen) -> FindingStatus {
    store.finding(seen.id).expect("there").status
}

#[test]
fn a_finding_comes_back_with_everything_and_the_same_again_is_no_second_one() {
    let store = store();
    let seen = see(
        &store,
        photo("x", None),
        &listing("L1", "S1"),
        Keep::Photos,
        9,
    );
    let again = see(
        &store,
        photo("x", None),
        &listing("L1", "S1"),
        Keep::Photos,
        9,
    );
    assert_eq!(seen.id, again.id);
    let record = store.finding(seen.id).expect("there");
    assert_eq!(record.finding, finding(1, 0.8).finding);
    assert_eq!((record.status, record.n_repeats), (FindingStatus::Open, 0));
    assert_eq!(record.judge_sha256, Some(FileDigest::of(b"judge")));
    assert_eq!((record.registry_revision, record.photo.is_kept), (7, true));
    let seller = record.listing.expect("a listing").seller.expect("a seller");
    assert_eq!(seller.id.as_deref(), Some("S1"));
    assert_eq!(
        store.finding_photo(seen.id).expect("there"),
        Some(b"x".to_vec())
    );
    let kept = store.listing("L1").expect("kept");
    assert_eq!(kept.listing, listing("L1", "S1"));
    assert_eq!(kept.n_findings, 1);
}

#[test]
fn only_what_was_asked_for_is_kept() {
    let store = store();
    let seen = see(
        &store,
        photo("x", None),
        &listing("L1", "S1"),
        Keep::Findings,
        9,
    );
    assert!(!store.finding(seen.id).expect("there").photo.is_kept);
    assert_eq!(store.finding_photo(seen.id).expect("there"), None);
    assert!(matches!(
        store.listing("L1"),
        Err(StoreError::NoSuchListing { .. })
    ));
    assert!(store.listings(None, 10).expect("a list").is_empty());
}

#[test]
fn a_rejection_suppresses_repeats_until_it_is_taken_back() {
    let store = store();
    let first = see(
        &store,
        photo("x", None),
        &listing("L1", "S1"),
        Keep::Findings,
        9,
    );
    let cluster = cluster_of(&store, &first);
    let second = see(
        &store,
        photo("y", Some(cluster)),
        &listing("L2", "S2"),
        Keep::Findings,
        9,
    );
    let apart = see(
        &store,
        photo("z", None),
        &listing("L3", "S3"),
        Keep::Findings,
        9,
    );
    let decided = store.decide(
        first.id,
        &decision(Opinion::Rejected),
        DecisionScope::Finding,
    );
    assert_eq!(decided.expect("decided"), [first.id]);
    let third = see(
        &store,
        photo("x", None),
        &listing("L4", "S4"),
        Keep::Findings,
        9,
    );
    assert_eq!(third.status, FindingStatus::Suppressed);
    let repeat = store.finding(second.id).expect("there");
    assert_eq!(repeat.status, FindingStatus::Suppressed);
    let suppression = repeat.suppressed_by.expect("a reference");
    assert_eq!(suppression.finding_id, first.id);
    assert_eq!(repeat.earlier_decisions[0].decision, Opinion::Rejected);
    assert_eq!(repeat.n_repeats, 2);
    assert_eq!(status(&store, &apart), FindingStatus::Open);

    store
        .undo(first.id, "bob", DecisionScope::Finding)
        .expect("undone");
    for seen in [&first, &second, &third] {
        assert_eq!(status(&store, seen), FindingStatus::Open);
    }
    let history = store.decisions_of(first.id).expect("a history");
    assert_eq!(history.len(), 2);
    assert_eq!(history[1].undoes, Some(history[0].id));
    assert!(matches!(
        store.undo(first.id, "bob", DecisionScope::Finding),
        Err(StoreError::NothingToUndo { .. })
    ));
}

#[test]
fn a_cluster_is_decided_and_taken_back_in_one_call() {
    let store = store();
    let first = see(
        &store,
        photo("x", None),
        &listing("L1", "S1"),
        Keep::Findings,
        9,
    );
    let cluster = cluster_of(&store, &first);
    let second = see(
        &store,
        photo("y", Some(cluster)),
        &listing("L2", "S2"),
        Keep::Findings,
        9,
    );
    let unsure = store.decide(
        second.id,
        &decision(Opinion::Unsure),
        DecisionScope::Finding,
    );
    unsure.expect("decided");
    let third = see(
        &store,
        photo("y", None),
        &listing("L3", "S3"),
        Keep::Findings,
        9,
    );
    let decided = store
        .decide(
            first.id,
            &decision(Opinion::Confirmed),
            DecisionScope::Cluster,
        )
        .expect("decided");
    assert_eq!(
        decided,
        [first.id, third.id],
        "what was decided before stays"
    );
    assert_eq!(status(&store, &second), FindingStatus::Unsure);
    let undone = store
        .undo(third.id, "bob", DecisionScope::Cluster)
        .expect("undone");
    assert_eq!(undone, [first.id, third.id]);
    assert_eq!(status(&store, &first), FindingStatus::Open);
    assert_eq!(status(&store, &second), FindingStatus::Unsure);
}

#[test]
fn a_changed_mind_takes_over_and_undoing_it_brings_the_first_back() {
    let store = store();
    let seen = see(
        &store,
        photo("x", None),
        &listing("L1", "S1"),
        Keep::Findings,
        9,
    );
    for opinion in [Opinion::Rejected, Opinion::Confirmed] {
        let decided = store.decide(seen.id, &decision(opinion), DecisionScope::Finding);
        decided.expect("decided");
    }
    assert_eq!(status(&store, &seen), FindingStatus::Confirmed);
    // Found again, differently: what was decided on stays as it was.
    see(
        &store,
        photo("x", None),
        &listing("L1", "S1"),
        Keep::Findings,
        9,
    );
    assert_eq!(status(&store, &seen), FindingStatus::Confirmed);
    store
        .undo(seen.id, "ann", DecisionScope::Finding)
        .expect("undone");
    assert_eq!(status(&store, &seen), FindingStatus::Rejected);
}

#[test]
fn findings_of_authorised_sellers_need_nobody() {
    let store = store();
    let mut allowed = finding(1, 0.9);
    allowed.finding.authorised_seller = true;
    let recorded = store
        .record_sighting(&NewSighting {
            photo: photo("x", None),
            name: "a.jpg",
            listing: None,
            kept_as: None,
            findings: vec![allowed],
            source: FindingSource::Match,
            keeping: Keeping::default(),
            brands: None,
        })
        .expect("written")
        .expect("kept");
    assert_eq!(recorded[0].1, FindingStatus::Authorised);
    assert_eq!(store.finding(recorded[0].0).expect("there").listing, None);
}

#[test]
fn sightings_without_a_listing_are_told_apart_by_seller_and_by_whose_they_are() {
    let store = store();
    let nameless = |seller: &str| listing("", seller);
    let record = |listing: Option<&Listing>, is_authorised: bool, brands: Option<&[String]>| {
        let mut found = finding(1, 0.9);
        found.finding.authorised_seller = is_authorised;
        let recorded = store.record_sighting(&NewSighting {
            photo: photo("x", None),
            name: "a.jpg",
            listing,
            kept_as: None,
            findings: vec![found],
            source: FindingSource::Match,
            keeping: Keeping::default(),
            brands,
        });
        recorded.expect("written").expect("kept")[0]
    };
    let (open, _) = record(Some(&nameless("S1")), false, None);
    let (allowed, status) = record(Some(&nameless("S2")), true, None);
    assert_eq!(status, FindingStatus::Authorised);
    let status = |id| store.finding(id).expect("there").status;
    assert_eq!(status(open), FindingStatus::Open, "another seller's");
    assert_eq!(record(Some(&nameless("S1")), false, None).0, open);
    let acme = ["Acme".to_owned()];
    let (theirs, _) = record(None, false, Some(&acme));
    let (ours, _) = record(None, false, None);
    let all = [open, allowed, theirs, ours];
    assert_eq!(
        all.iter().collect::<std::collections::BTreeSet<_>>().len(),
        4
    );
    let seen = store.next_to_compare(8).expect("one").expect("a photo");
    let brands: Vec<_> = seen.sightings.into_iter().map(|seen| seen.brands).collect();
    assert_eq!(brands, [None, None, Some(acme.to_vec()), None]);
}

#[test]
fn filters_and_pages_give_each_finding_once() {
    let store = store();
    for n in 0..25_i64 {
        let probability = f64::from(n as i32 % 7) / 10.0;
        let name = format!("photo {n}");
        let listing = listing(&format!("L{n}"), &format!("S{}", n % 3));
        let sighting = NewSighting {
            photo: photo(&name, None),
            name: &name,
            listing: Some(&listing),
            kept_as: None,
            findings: vec![finding(1 + n % 2 * 5, probability)],
            source: FindingSource::Screen,
            keeping: Keeping::default(),
            brands: None,
        };
        store.record_sighting(&sighting).expect("kept");
    }
    for order in [
        FindingOrder::Priority,
        FindingOrder::Newest,
        FindingOrder::Probability,
    ] {
        let mut filter = FindingFilter {
            order,
            limit: Some(4),
            ..FindingFilter::default()
        };
        let mut all = Vec::new();
        loop {
            let page = store.findings(&filter).expect("a page");
            let Some(last) = page.last() else { break };
            let rank = match order {
                FindingOrder::Priority => last.priority,
                FindingOrder::Newest => 0.0,
                FindingOrder::Probability => last.finding.probability,
            };
            filter.after = Some(FindingCursor { rank, id: last.id });
            all.extend(page);
        }
        let mut ids: Vec<_> = all.iter().map(|f| f.id).collect();
        assert!(all.is_sorted_by(|a, b| match order {
            FindingOrder::Newest => a.id > b.id,
            _ => a.priority >= b.priority,
        }));
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), all.len()), (25, 25), "{order:?}");
    }
    let count = |filter: FindingFilter| store.findings(&filter).expect("a list").len();
    let any = FindingFilter::default;
    assert_eq!(
        count(FindingFilter {
            brand: Some("Luna".into()),
            ..any()
        }),
        12
    );
    assert_eq!(
        count(FindingFilter {
            seller: Some("S0".into()),
            ..any()
        }),
        9
    );
    assert_eq!(
        count(FindingFilter {
            min_probability: Some(0.55),
            ..any()
        }),
        3
    );
    assert_eq!(
        count(FindingFilter {
            listing_id: Some("L3".into()),
            ..any()
        }),
        1
    );
    assert_eq!(
        count(FindingFilter {
            since: Some("2999".into()),
            ..any()
        }),
        0
    );
    assert_eq!(
        count(FindingFilter {
            status: Some(FindingStatus::Rejected),
            ..any()
        }),
        0
    );
    assert_eq!(
        count(FindingFilter {
            kind: Some(FindingKind::AlteredLogo),
            ..any()
        }),
        0
    );
}

#[test]
fn a_photo_in_many_listings_ranks_before_a_single_one() {
    let store = store();
    let single = see(
        &store,
        photo("z", None),
        &listing("L0", "S"),
        Keep::Findings,
        9,
    );
    for n in 1..4 {
        let listing = listing(&format!("L{n}"), "S");
        see(&store, photo("x", None), &listing, Keep::Findings, 9);
    }
    let first = store.findings(&FindingFilter::default()).expect("a list");
    assert_eq!(first.last().expect("four").id, single.id);
    assert!((first[0].priority - 0.8 * (1.0 + 3f64.ln())).abs() < 1e-9);
}

#[test]
fn near_hashes_are_found_up_to_seven_bits_away() {
    let store = store();
    let seen = see(
        &store,
        photo("x", None),
        &listing("L1", "S"),
        Keep::Findings,
        9,
    );
    let cluster = cluster_of(&store, &seen);
    let mut hash = photo("x", None).hash;
    // One bit in each part but the last.
    for part in 0..7 {
        hash[part * 4] ^= 1;
    }
    let near = store.photos_near(&hash).expect("a list");
    assert_eq!((near.len(), near[0].cluster), (1, cluster));
    hash[31] ^= 0x80;
    assert!(store.photos_near(&hash).expect("a list").is_empty());
}

#[test]
fn photos_that_are_kept_on_outlive_their_first_time() {
    let store = store();
    for bytes in ["x", "y"] {
        store.keep_photo(&photo(bytes, None), 1).expect("kept");
    }
    let (renewed, other) = (photo("x", None).sha256, photo("y", None).sha256);
    let set_back = || {
        let writer = store.connections.writer();
        let sql = "UPDATE photos SET keep_until = '2020-01-01T00:00:00Z'";
        writer.execute(sql, []).expect("set back");
    };
    set_back();
    let unknown = photo("z", None).sha256;
    store
        .keep_photos_on(&[renewed, unknown], 30)
        .expect("renewed");
    store.forget_expired().expect("forgotten");
    let is_kept = |photo| store.photo_description(photo).expect("readable").is_some();
    assert!(is_kept(&renewed) && !is_kept(&other) && !is_kept(&unknown));
}

#[test]
fn what_is_past_its_time_is_forgotten_but_for_findings() {
    let store = store();
    let old = see(
        &store,
        photo("x", None),
        &listing("L1", "S1"),
        Keep::Photos,
        0,
    );
    let new = see(
        &store,
        photo("y", None),
        &listing("L2", "S2"),
        Keep::Photos,
        9,
    );
    let writer = store.connections.writer();
    for table in ["photos", "listings", "photo_files"] {
        let sql = format!("UPDATE {table} SET keep_until = '2020-01-01T00:00:00Z' WHERE rowid = 1");
        writer.execute(&sql, []).expect("set back");
    }
    drop(writer);
    store.forget_expired().expect("forgotten");
    let record = store.finding(old.id).expect("findings stay");
    assert!(!record.photo.is_kept);
    assert_eq!(record.listing.expect("its id stays").seller, None);
    assert!(store.listing("L1").is_err());
    assert!(store.listing("L2").is_ok());
    assert!(store.finding_photo(new.id).expect("there").is_some());
    let to_compare = store
        .next_to_compare(100)
        .expect("one")
        .expect("the kept one");
    assert_eq!(to_compare.description, b"y");
}

#[test]
fn a_removed_listing_leaves_only_what_was_decided() {
    let store = store();
    let shared = photo("shared", None);
    let open = see(
        &store,
        photo("own", None),
        &listing("L1", "S1"),
        Keep::Photos,
        9,
    );
    let decided = see(
        &store,
        shared.clone(),
        &listing("L1", "S1"),
        Keep::Photos,
        9,
    );
    let elsewhere = see(&store, shared, &listing("L2", "S2"), Keep::Photos, 9);
    let said = store.decide(
        decided.id,
        &decision(Opinion::Confirmed),
        DecisionScope::Finding,
    );
    said.expect("decided");
    store.remove_listing("L1").expect("removed");
    assert!(matches!(
        store.finding(open.id),
        Err(StoreError::NoSuchFinding { .. })
    ));
    let kept = store.finding(decided.id).expect("decided on");
    assert_eq!(kept.listing.expect("its id").seller, None);
    assert!(store.finding_photo(elsewhere.id).expect("there").is_some());
    let n_photos: i64 = store
        .connections
        .writer()
        .query_row("SELECT count(*) FROM photos", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(n_photos, 1);
    assert!(matches!(
        store.remove_listing("none"),
        Err(StoreError::NoSuchListing { .. })
    ));
}

#[test]
fn a_check_under_way_keeps_nothing_of_a_listing_that_was_forgotten() {
    let store = store();
    let first = listing("L1", "S1");
    let keeping = Keeping {
        keep: Keep::Photos,
        days: 9,
    };
    // With a decision in it something of the listing stays, and is no sign that it is kept.
    let decided = see(&store, photo("x", None), &first, Keep::Photos, 9);
    let said = decision(Opinion::Confirmed);
    store
        .decide(decided.id, &said, DecisionScope::Finding)
        .expect("decided");
    let kept_as = store.put_listing(&first, keeping).expect("kept");
    assert!(kept_as.is_some());
    let held = PendingPhoto {
        listing: first.clone(),
        kept_as,
        name: "b.jpg".to_owned(),
        bytes: vec![0, 1, 2],
        keeping,
    };
    let elsewhere = PendingPhoto {
        listing: listing("L2", "S2"),
        kept_as: None,
        ..held.clone()
    };
    let both = [held.clone(), elsewhere.clone()];
    let ids = store.hold_photos(&both).expect("held");
    let next = store.next_held_photo(0).expect("readable");
    assert_eq!(next, Some((ids[0].expect("held"), held.clone())));

    store.remove_listing("L1").expect("forgotten");
    let next = store.next_held_photo(0).expect("readable");
    assert_eq!(next, Some((ids[1].expect("held"), elsewhere)));
    let late = NewSighting {
        photo: photo("y", None),
        name: "b.jpg",
        listing: Some(&first),
        kept_as,
        findings: vec![finding(1, 0.8)],
        source: FindingSource::Screen,
        keeping,
        brands: None,
    };
    assert_eq!(store.record_sighting(&late).expect("passed over"), None);
    assert_eq!(store.hold_photos(&[held]).expect("passed over"), [None]);
    assert!(store.listing("L1").is_err());
    let photo = store.cluster_of_photo(&late.photo.sha256);
    assert_eq!(photo.expect("readable"), None);

    let left = store.finding(decided.id).expect("decided on");
    assert_eq!(left.listing.expect("its id").listing_id, "L1");
    let again = NewSighting {
        kept_as: store.put_listing(&first, keeping).expect("kept"),
        ..late
    };
    assert!(store.record_sighting(&again).expect("written").is_some());
    assert_eq!(store.listing("L1").expect("kept").n_findings, 2);
}

#[test]
fn look_back_takes_each_photo_once_and_covers_all_its_listings() {
    let store = store();
    see(
        &store,
        photo("x", None),
        &listing("L1", "S1"),
        Keep::Findings,
        9,
    );
    see(
        &store,
        photo("x", None),
        &listing("L2", "S2"),
        Keep::Findings,
        9,
    );
    assert_eq!(store.next_to_compare(7).expect("none"), None);
    let photo = store.next_to_compare(8).expect("one").expect("a photo");
    let sellers: Vec<_> = photo
        .sightings
        .iter()
        .map(|seen| seen.seller.as_ref().and_then(|s: &Seller| s.id.clone()))
        .collect();
    assert_eq!(sellers, [Some("S1".to_owned()), Some("S2".to_owned())]);
    let found: Vec<_> = photo
        .sightings
        .iter()
        .map(|seen| (seen.sighting, finding(9, 0.7)))
        .collect();
    let ids = store.record_look_back(photo.id, 8, &found).expect("kept");
    assert_eq!(ids.len(), 2);
    let record = store.finding(ids[0]).expect("there");
    assert_eq!(record.source, FindingSource::LookBack);
    assert_eq!(record.registry_revision, 8);
    assert_eq!(store.next_to_compare(8).expect("none"), None);
    store.skip_look_back(8, 12).expect("skipped");
    assert_eq!(store.next_to_compare(12).expect("none"), None);
}

#[test]
fn held_photos_and_remembered_answers_come_back_as_they_were() {
    let store = store();
    let held = PendingPhoto {
        listing: listing("L1", "S1"),
        kept_as: None,
        name: "a.jpg".to_owned(),
        bytes: vec![0, 1, 2],
        keeping: Keeping::default(),
    };
    let ids = store
        .hold_photos(std::slice::from_ref(&held))
        .expect("held");
    let id = ids[0].expect("held");
    assert_eq!(store.next_held_photo(0).expect("one"), Some((id, held)));
    store.release_photo(id).expect("released");
    assert_eq!(store.next_held_photo(0).expect("none"), None);

    let answer = RememberedAnswer {
        request: FileDigest::of(b"request"),
        status: 201,
        headers: vec![("location".to_owned(), "/v1/assets/1".to_owned())],
        body: b"{}".to_vec(),
    };
    store.remember_answer("", "key", &answer).expect("kept");
    let other = RememberedAnswer {
        status: 500,
        ..answer.clone()
    };
    store.remember_answer("", "key", &other).expect("ignored");
    assert_eq!(
        store.remembered_answer("", "key").expect("there"),
        Some(answer)
    );
    assert_eq!(store.remembered_answer("other", "key").expect("none"), None);
}

#[test]
fn the_counts_follow_what_was_decided() {
    let store = store();
    assert_eq!(
        store.case_statistics("2000-01-01", None).expect("counts"),
        { CaseStatistics::default() }
    );
    let keep = Keep::Findings;
    let first = see(&store, photo("x", None), &listing("L1", "S1"), keep, 9);
    see(&store, photo("y", None), &listing("L2", "S1"), keep, 9);
    let counts = store.case_statistics("2000-01-01", None).expect("counts");
    assert_eq!((counts.n_open, counts.n_suppressed), (2, 0));
    assert!(counts.oldest_open.is_some());
    let n: u64 = counts.n_by_day.iter().map(|(_, n)| n).sum();
    assert_eq!(n, 2);
    let later = store.case_statistics("2999-01-01", None).expect("counts");
    assert!(later.n_by_day.is_empty());

    let said = decision(Opinion::Confirmed);
    store
        .decide(first.id, &said, DecisionScope::Finding)
        .expect("decided");
    let counts = store.case_statistics("2000-01-01", None).expect("counts");
    let brand = BrandStatistics {
        brand: "Acme".to_owned(),
        n_open: 1,
        n_confirmed: 1,
        n_rejected: 0,
        n_unsure: 0,
    };
    assert_eq!((counts.n_open, counts.brands), (1, vec![brand]));
}
