//! What is to be told, whose turn it is, and what becomes of it.

use serde_json::{Value, json};

use super::*;
use crate::domain::{AuditAction, DeliveryState, EventKind, Keep, Opinion, WebhookId};
use crate::store::cases::tests::{Seen, decision, listing, photo, see};
use crate::store::{AuditPage, DecisionScope, Store, StoreError};

const LEASE_MS: i64 = 60_000;

fn store() -> Store {
    Store::open_in_memory().expect("a store")
}

fn new(events: &[EventKind], brands: &[&str]) -> NewWebhook {
    NewWebhook {
        url: "https://shop.example/hook".to_owned(),
        description: "the shop".to_owned(),
        events: events.to_vec(),
        brands: brands.iter().map(|&brand| brand.to_owned()).collect(),
    }
}

fn webhook(store: &Store, events: &[EventKind], brands: &[&str]) -> WebhookId {
    let issued = store.create_webhook(&new(events, brands)).expect("made");
    issued.record.id
}

fn found(store: &Store, content: &str) -> Seen {
    let listing = listing("L1", "S1");
    see(store, photo(content, None), &listing, Keep::Photos, 9)
}

fn claim(store: &Store, id: &WebhookId) -> Option<ClaimedDelivery> {
    store.claim_delivery(id, LEASE_MS).expect("readable")
}

fn body(delivery: &ClaimedDelivery) -> Value {
    serde_json::from_str(&delivery.body).expect("JSON")
}

fn outcome(status: u16) -> Outcome {
    Outcome {
        status: Some(status),
        error: (status != 200).then(|| format!("the receiver answers {status}")),
        elapsed_ms: 12.5,
    }
}

fn deliveries(store: &Store, id: &WebhookId) -> Vec<DeliveryRecord> {
    let page = DeliveryPage {
        limit: 100,
        ..DeliveryPage::default()
    };
    store.deliveries(id, &page).expect("readable")
}

#[test]
fn a_new_finding_is_told_once_with_what_was_found_and_nothing_of_others() {
    let store = store();
    let id = webhook(&store, &[], &[]);
    let seen = found(&store, "x");
    // The same again renews it.
    found(&store, "x");
    let told = claim(&store, &id).expect("one");
    assert!(told.message_id.starts_with("msg_") && told.age_s >= 0);
    let body = body(&told);
    assert_eq!(body["type"], "finding.created");
    let data = body["data"].as_object().expect("an object");
    assert_eq!(data["finding_id"], json!(seen.id));
    assert_eq!(
        (&data["brand"], &data["asset"], &data["status"]),
        (&json!("Acme"), &json!("asset 1"), &json!("open"))
    );
    assert_eq!(data["listing_id"], "L1");
    assert_eq!(data["region"]["x"], 1.0);
    let mut fields: Vec<&str> = data.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "asset",
            "asset_id",
            "brand",
            "created_at",
            "finding_id",
            "kind",
            "listing_id",
            "photo",
            "photo_sha256",
            "probability",
            "region",
            "source",
            "status"
        ]
    );
    assert_eq!(claim(&store, &id), None);
    assert_eq!(deliveries(&store, &id).len(), 1);
}

#[test]
fn decisions_are_told_and_so_is_taking_them_back() {
    let store = store();
    let id = webhook(&store, &[EventKind::FindingDecided], &[]);
    let seen = found(&store, "x");
    let decided = store.decide(
        seen.id,
        &decision(Opinion::Confirmed),
        DecisionScope::Finding,
    );
    decided.expect("decided");
    store
        .undo(seen.id, "ann", DecisionScope::Finding)
        .expect("undone");
    let first = body(&claim(&store, &id).expect("one"));
    assert_eq!(first["data"]["decision"], "confirmed");
    assert_eq!(first["data"]["reason"], "looked");
    assert_eq!(first["data"]["status"], "confirmed");
    let second = body(&claim(&store, &id).expect("another"));
    assert_eq!(second["data"]["decision"], Value::Null);
    assert_eq!(second["data"]["status"], "open");
    assert_eq!(claim(&store, &id), None);
}

#[test]
fn webhooks_are_told_what_they_ask_for() {
    let store = store();
    let all = webhook(&store, &[], &[]);
    let acme = webhook(&store, &[EventKind::FindingCreated], &["Acme", "Nike"]);
    let luna = webhook(&store, &[], &["Luna"]);
    let scans = webhook(&store, &[EventKind::ScanFinished], &["Luna"]);
    let off = webhook(&store, &[], &[]);
    let disable = WebhookChange {
        enabled: Some(false),
        ..WebhookChange::default()
    };
    store.change_webhook(&off, &disable).expect("changed");
    found(&store, "x");
    let data = json!({ "n_photos": 7 });
    store
        .announce(EventKind::ScanFinished, &data)
        .expect("announced");
    let count = |id: &WebhookId| deliveries(&store, id).len();
    assert_eq!(
        [&all, &acme, &luna, &scans, &off].map(count),
        [2, 1, 1, 1, 0]
    );
    let told = body(&claim(&store, &scans).expect("one"));
    assert_eq!(
        (&told["type"], &told["data"]),
        (&json!("scan.finished"), &data)
    );
    let (n_waiting, due) = store.webhooks_waiting().expect("readable");
    assert_eq!((n_waiting, due.len()), (4, 3));
}

#[test]
fn what_is_claimed_is_nobody_elses_until_the_lease_is_over() {
    let store = store();
    let id = webhook(&store, &[], &[]);
    found(&store, "x");
    let first = store.claim_delivery(&id, -1).expect("readable");
    // That lease is over already, as of a process that was killed.
    let second = claim(&store, &id).expect("due again");
    assert_eq!(first.expect("one"), second);
    assert_eq!(claim(&store, &id), None);
}

#[test]
fn tries_are_written_down() {
    let store = store();
    let id = webhook(&store, &[], &[]);
    found(&store, "x");
    let told = claim(&store, &id).expect("one");
    let again = Settled::Again { after_ms: -1 };
    for _ in 0..11 {
        let settled = store.settle_delivery(told.id, &outcome(503), &again);
        settled.expect("written");
    }
    let told = claim(&store, &id).expect("due again");
    assert_eq!(told.n_tries, 11);
    let settled = store.settle_delivery(told.id, &outcome(200), &Settled::Delivered);
    settled.expect("written");
    let record = &deliveries(&store, &id)[0];
    assert_eq!(
        (record.state, record.n_tries),
        (DeliveryState::Delivered, 12)
    );
    assert_eq!((record.tries.len(), &record.due_at), (10, &None));
    assert_eq!(
        record.tries[0].error.as_deref(),
        Some("the receiver answers 503")
    );
    assert_eq!(
        (record.tries[9].status, record.tries[9].elapsed_ms),
        (Some(200), 12.5)
    );
    assert_eq!(claim(&store, &id), None);
}

#[test]
fn a_webhook_that_takes_nothing_is_disabled_and_one_that_does_is_not() {
    let give_up = |is_gone| Settled::GivenUp {
        reason: "nothing for a day".to_owned(),
        is_gone,
    };
    for (takes, is_gone, is_disabled) in [
        (false, false, true),
        (true, false, false),
        (true, true, true),
    ] {
        let store = store();
        let id = webhook(&store, &[], &[]);
        found(&store, "x");
        found(&store, "y");
        found(&store, "z");
        if takes {
            let told = claim(&store, &id).expect("one");
            let settled = store.settle_delivery(told.id, &outcome(200), &Settled::Delivered);
            settled.expect("written");
        }
        let told = claim(&store, &id).expect("another");
        let settled = store.settle_delivery(told.id, &outcome(500), &give_up(is_gone));
        settled.expect("written");
        let record = store.webhook(&id).expect("there");
        assert_eq!(record.enabled, !is_disabled);
        assert_eq!(record.disabled_reason.is_some(), is_disabled);
        // What is still to be told goes with it.
        assert_eq!(record.n_pending == 0, is_disabled);
        if is_disabled {
            let enable = WebhookChange {
                enabled: Some(true),
                ..WebhookChange::default()
            };
            let record = store.change_webhook(&id, &enable).expect("changed");
            assert!(record.enabled && record.disabled_reason.is_none());
        }
    }
}

#[test]
fn secrets_are_told_once_and_overlap_after_a_change() {
    let store = store();
    let issued = store.create_webhook(&new(&[], &[])).expect("made");
    let id = issued.record.id;
    found(&store, "x");
    let told = store.claim_delivery(&id, -1).expect("readable");
    assert_eq!(told.expect("one").secrets.len(), 1);
    let rotated = store.rotate_webhook(&id).expect("rotated");
    assert_ne!(rotated.secret, issued.secret);
    let told = claim(&store, &id).expect("one");
    let texts: Vec<String> = told
        .secrets
        .iter()
        .map(|bytes| {
            use base64::Engine as _;
            format!("whsec_{}", base64::prelude::BASE64_STANDARD.encode(bytes))
        })
        .collect();
    assert_eq!(texts, [rotated.secret, issued.secret]);
}

#[test]
fn webhooks_are_changed_and_forgotten_and_the_log_says_by_whom() {
    let store = store();
    let id = webhook(&store, &[], &[]);
    found(&store, "x");
    let change = WebhookChange {
        url: Some("https://shop.example/other".to_owned()),
        events: Some(vec![EventKind::FindingCreated]),
        ..WebhookChange::default()
    };
    let record = store.change_webhook(&id, &change).expect("changed");
    assert_eq!((record.n_pending, record.enabled), (1, true));
    assert_eq!(record.url, "https://shop.example/other");
    assert_eq!(record.description, "the shop");
    assert_eq!(store.webhooks().expect("readable"), [record]);
    store.remove_webhook(&id).expect("removed");
    let gone = store.webhook(&id).expect_err("gone");
    assert!(matches!(gone, StoreError::NoSuchWebhook { .. }));
    assert_eq!(store.webhooks_waiting().expect("readable"), (0, vec![]));
    let page = AuditPage {
        limit: 10,
        ..AuditPage::default()
    };
    let log = store.audit_entries(&page).expect("readable");
    let actions: Vec<_> = log.iter().map(|entry| entry.action).collect();
    assert_eq!(
        actions,
        [
            AuditAction::WebhookRemoved,
            AuditAction::WebhookChanged,
            AuditAction::WebhookCreated
        ]
    );
    let text = serde_json::to_string(&log).expect("JSON");
    assert!(!text.contains("whsec"), "{text}");
}

#[test]
fn there_is_an_end_to_webhooks() {
    let store = store();
    for _ in 0..32 {
        webhook(&store, &[], &[]);
    }
    let refused = store.create_webhook(&new(&[], &[])).expect_err("too many");
    assert!(matches!(refused, StoreError::BadWebhook { .. }));
}
