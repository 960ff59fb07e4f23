//! `touchstone keys`

use std::io::{self, Write};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::args::{KeysAction, KeysCommand};
use super::{Outcome, print_json};
use crate::config::{Settings, tenant_home};
use crate::domain::{AuditAction, KeyId, TenantName};
use crate::http::note_key;
use crate::store::{AccessStore, KeyRecord, NewKey, Store, StoreError};

pub(super) fn run(settings: Settings, command: KeysCommand) -> anyhow::Result<Outcome> {
    let keys = AccessStore::open(&settings.home)?;
    match command.action {
        KeysAction::Create {
            role,
            label,
            brand,
            days,
            json,
        } => {
            let now = Timestamp::now();
            let new = NewKey {
                tenant: settings.tenant.clone(),
                role,
                label,
                brands: brand,
                expires_at: days.map(|days| end(now, days)).transpose()?,
            };
            create(&settings, &keys, new, now, json)?;
            Ok(Outcome::Done)
        }
        KeysAction::List { json } => {
            // Without --tenant whoever has the data folder sees all.
            let tenant = Some(&settings.tenant).filter(|tenant| !tenant.is_default());
            list(&keys.keys(tenant)?, json)?;
            Ok(Outcome::Done)
        }
        KeysAction::Revoke { ids } => Ok(revoke(&settings, &keys, &ids)),
    }
}

fn end(now: Timestamp, days: u32) -> anyhow::Result<Timestamp> {
    now.checked_add(SignedDuration::from_hours(24 * i64::from(days)))
        .context("working out when the key ends")
}

fn create(
    settings: &Settings,
    keys: &AccessStore,
    new: NewKey,
    now: Timestamp,
    json: bool,
) -> anyhow::Result<()> {
    let note = |key: &KeyRecord| noted(settings, AuditAction::KeyCreated, key);
    let issued = keys.create_key(new, now, note)?;
    if json {
        let mut answer = serde_json::to_value(&issued.record)?;
        answer["key"] = json!(issued.text);
        return print_json(&answer);
    }
    writeln!(io::stdout().lock(), "{}", issued.text)?;
    eprintln!(
        "Keep it: it is shown this once. Sent as `Authorization: Bearer`, or entered at /sign-in."
    );
    Ok(())
}

/// In the log of the tenant that the key opens.
fn noted(settings: &Settings, action: AuditAction, key: &KeyRecord) -> Result<(), StoreError> {
    let store = Store::open(&tenant_home(&settings.home, &key.tenant))?;
    note_key(&store, action, key)
}

fn list(keys: &[KeyRecord], json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&keys);
    }
    let now = Timestamp::now();
    let mut out = io::stdout().lock();
    for key in keys {
        writeln!(
            out,
            "{}  {:<12}  {:<8}  {:<8}  {}{}",
            key.id,
            key.tenant,
            key.role,
            key.standing(now).as_str(),
            key.label,
            brands_of(key)
        )?;
    }
    Ok(())
}

fn brands_of(key: &KeyRecord) -> String {
    if key.brands.is_empty() {
        String::new()
    } else {
        format!(" ({})", key.brands.join(", "))
    }
}

fn revoke(settings: &Settings, keys: &AccessStore, ids: &[KeyId]) -> Outcome {
    let tenant: Option<&TenantName> = Some(&settings.tenant).filter(|tenant| !tenant.is_default());
    let mut n_failed = 0;
    for id in ids {
        let note = |key: &KeyRecord| noted(settings, AuditAction::KeyRevoked, key);
        match keys.revoke_key(id, tenant, Timestamp::now(), note) {
            Ok(key) => eprintln!("revoked {id}, {}", key.label),
            Err(error) => {
                eprintln!("{id}: {error}");
                n_failed += 1;
            }
        }
    }
    Outcome::of_failures(n_failed)
}
