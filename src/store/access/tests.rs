//! Keys and sessions through their lives.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::domain::{KeyId, Role, TenantName};

fn new_key(role: Role) -> NewKey {
    NewKey {
        tenant: TenantName::default(),
        role,
        label: "ann".to_owned(),
        brands: Vec::new(),
        expires_at: None,
    }
}

fn issue(store: &AccessStore, new: NewKey, now: Timestamp) -> IssuedKey {
    store.create_key(new, now, |_| Ok(())).expect("a key")
}

fn hours_after(now: Timestamp, hours: i64) -> Timestamp {
    now + SignedDuration::from_hours(hours)
}

#[test]
fn a_key_is_known_again_by_every_digit_and_never_kept() {
    let home = tempfile::tempdir().expect("a folder");
    let now = Timestamp::now();
    let key = {
        let store = AccessStore::open(home.path()).expect("a store");
        assert!(!store.has_keys().expect("an answer"));
        issue(&store, new_key(Role::Screener), now)
    };
    assert_eq!(key.text.len(), 3 + 12 + 1 + 64);
    let store = AccessStore::open(home.path()).expect("the same store");
    assert!(store.has_keys().expect("an answer"));
    let check = |text: &str| store.check_key(text, now).expect("an answer");
    assert_eq!(check(&key.text), Ok(key.record.clone()));
    let secret = &key.text[16..];
    let last = if key.text.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{last}", &key.text[..key.text.len() - 1]);
    assert_eq!(
        check(&wrong),
        Err(KeyRefusal::WrongSecret(Box::new(key.record.clone())))
    );
    for text in [
        "",
        "ts_",
        "ts__",
        secret,
        &key.text[3..],
        &key.text.to_uppercase(),
    ] {
        assert_eq!(check(text), Err(KeyRefusal::Unknown), "{text}");
    }
    for file in std::fs::read_dir(home.path()).expect("a folder") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        let holds = bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!holds, "the secret is on disk");
    }
}

#[test]
fn keys_end_by_time_and_by_revocation_and_sessions_with_them() {
    let store = AccessStore::open_in_memory().expect("a store");
    let now = Timestamp::now();
    let brief = NewKey {
        expires_at: Some(hours_after(now, 2)),
        ..new_key(Role::Reviewer)
    };
    let key = issue(&store, brief, now);
    let signed_in = store
        .sign_in(&key.text, now)
        .expect("an answer")
        .expect("good");
    let session = |at| store.session(&signed_in.token, at).expect("an answer");
    assert_eq!(session(now).expect("signed in").role, Role::Reviewer);
    let late = hours_after(now, 2);
    assert!(matches!(session(late), Err(KeyRefusal::Expired(_))));
    let refused = store.check_key(&key.text, late).expect("an answer");
    assert!(matches!(refused, Err(KeyRefusal::Expired(_))));

    let id = &key.record.id;
    let revoked = store
        .revoke_key(id, None, now, |_| Ok(()))
        .expect("revoked");
    assert!(revoked.revoked_at.is_some());
    assert_eq!(session(now), Err(KeyRefusal::SessionOver));
    let refused = store.check_key(&key.text, now).expect("an answer");
    assert!(matches!(refused, Err(KeyRefusal::Revoked(_))));
    let again = store
        .revoke_key(id, None, late, |_| Ok(()))
        .expect("stays so");
    assert_eq!(again, revoked);
}

#[test]
fn sessions_end_by_themselves_and_when_asked_to() {
    let store = AccessStore::open_in_memory().expect("a store");
    let now = Timestamp::now();
    let key = issue(&store, new_key(Role::Operator), now);
    let begin = || {
        store
            .sign_in(&key.text, now)
            .expect("an answer")
            .expect("good")
            .token
    };
    let (one, two) = (begin(), begin());
    assert_ne!(one, two);
    store.sign_out(&one).expect("signed out");
    let holds = |token: &str, at| store.session(token, at).expect("an answer").is_ok();
    assert!(!holds(&one, now));
    assert!(holds(&two, hours_after(now, SESSION_HOURS - 1)));
    assert!(!holds(&two, hours_after(now, SESSION_HOURS)));
}

#[test]
fn a_link_is_good_once_and_for_an_hour() {
    let store = AccessStore::open_in_memory().expect("a store");
    let now = Timestamp::now();
    let follow = |token: &str, at| store.follow_link(token, at).expect("an answer");
    let late = store.create_link(now).expect("a link");
    assert!(follow(&late, hours_after(now, 1)).is_err());
    let link = store.create_link(now).expect("a link");
    let signed_in = follow(&link, now).expect("the first time");
    assert_eq!(signed_in.holder.role, Role::Operator);
    assert!(signed_in.holder.tenant.is_default());
    assert!(follow(&link, now).is_err(), "a second time");
    assert!(follow("", now).is_err());
    assert!(
        store
            .session(&signed_in.token, now)
            .expect("an answer")
            .is_ok()
    );
}

#[test]
fn another_tenants_keys_are_neither_listed_nor_revoked() {
    let store = AccessStore::open_in_memory().expect("a store");
    let now = Timestamp::now();
    let own = issue(&store, new_key(Role::Operator), now);
    let acme: TenantName = "acme".parse().expect("a name");
    let theirs = NewKey {
        tenant: acme.clone(),
        ..new_key(Role::Owner)
    };
    let theirs = issue(&store, theirs, now);
    let listed = store.keys(Some(&acme)).expect("keys");
    assert_eq!(listed, std::slice::from_ref(&theirs.record));
    assert_eq!(store.keys(None).expect("keys").len(), 2);
    let default = TenantName::default();
    let refused = store.revoke_key(&theirs.record.id, Some(&default), now, |_| Ok(()));
    assert!(matches!(refused, Err(StoreError::NoSuchKey { .. })));
    assert!(
        store
            .check_key(&theirs.text, now)
            .expect("an answer")
            .is_ok()
    );
    assert!(store.check_key(&own.text, now).expect("an answer").is_ok());
}

#[test]
fn keys_that_cannot_be_are_refused_and_nothing_is_kept() {
    let store = AccessStore::open_in_memory().expect("a store");
    let now = Timestamp::now();
    let good = new_key(Role::Reviewer);
    let bad = [
        NewKey {
            label: "  ".to_owned(),
            ..good.clone()
        },
        NewKey {
            label: "x".repeat(201),
            ..good.clone()
        },
        NewKey {
            brands: vec!["Acme".to_owned()],
            ..good.clone()
        },
        NewKey {
            expires_at: Some(now),
            ..good.clone()
        },
    ];
    for new in bad {
        let refused = store.create_key(new.clone(), now, |_| Ok(()));
        assert!(matches!(refused, Err(StoreError::BadKey { .. })), "{new:?}");
    }
    let id = KeyId::of_bytes([0; 6]);
    let vetoed = store.create_key(good, now, |_| Err(StoreError::NoSuchKey { id }));
    assert!(vetoed.is_err());
    assert!(!store.has_keys().expect("an answer"));
}
