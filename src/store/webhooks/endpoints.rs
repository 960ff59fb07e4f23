//! Making, changing and forgetting webhooks.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{IssuedSecret, NewWebhook, WebhookChange, WebhookRecord};
use crate::domain::{AuditAction, WebhookId};
use crate::store::connections::Writing;
use crate::store::{Store, StoreError, rows, secrets};

/// Columns of [`webhook`], in its order.
const COLUMNS: &str = "id, url, description, events, brands, enabled, disabled_reason,
    (SELECT count(*) FROM deliveries WHERE webhook_id = webhooks.id AND state = 'pending'),
    created_at";
/// Most webhooks of a tenant.
const MAX_WEBHOOKS: u32 = 32;
/// Longest description, characters.
const MAX_DESCRIPTION_CHARS: usize = 500;
/// Most brands that a webhook is told of.
const MAX_BRANDS: usize = 1000;
/// How long the secret before the last rotation signs, too.
const OVERLAP: &str = "+1 day";

impl Store {
    /// Makes a webhook; its secret is told this once.
    ///
    /// # Errors
    /// [`StoreError::BadWebhook`] for one that cannot be, and those of the database.
    pub fn create_webhook(&self, new: &NewWebhook) -> Result<IssuedSecret, StoreError> {
        check(&new.description, &new.brands)?;
        let id = WebhookId::of_bytes(secrets::random()?);
        let secret: [u8; 32] = secrets::random()?;
        self.connections.write(|w| {
            let conn = w.conn();
            let n: u32 = conn.query_row("SELECT count(*) FROM webhooks", [], |r| r.get(0))?;
            if n >= MAX_WEBHOOKS {
                return Err(bad(format!(
                    "there are {n} webhooks already, the most there can be"
                )));
            }
            conn.execute(
                "INSERT INTO webhooks (id, url, description, events, brands, secret, enabled)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)",
                params![
                    id.as_str(),
                    new.url,
                    new.description,
                    json!(new.events).to_string(),
                    rows::list_text(&new.brands),
                    secret
                ],
            )?;
            let record = one(conn, &id)?;
            note(w, AuditAction::WebhookCreated, &record)?;
            Ok(issued(record, &secret))
        })
    }

    /// All webhooks, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn webhooks(&self) -> Result<Vec<WebhookRecord>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM webhooks ORDER BY created_at, id"
            ))?;
            let mut found = statement.query([])?;
            let mut webhooks = Vec::new();
            while let Some(row) = found.next()? {
                webhooks.push(webhook(row)?);
            }
            Ok(webhooks)
        })
    }

    /// One webhook.
    ///
    /// # Errors
    /// [`StoreError::NoSuchWebhook`], and those of the database.
    pub fn webhook(&self, id: &WebhookId) -> Result<WebhookRecord, StoreError> {
        self.connections.read_one(|conn| one(conn, id))
    }

    /// Changes a webhook. Disabling lets go of what was still to be told; enabling forgets why it was
    /// disabled.
    ///
    /// # Errors
    /// [`StoreError::NoSuchWebhook`], [`StoreError::BadWebhook`], and those of the database.
    pub fn change_webhook(
        &self,
        id: &WebhookId,
        change: &WebhookChange,
    ) -> Result<WebhookRecord, StoreError> {
        let (description, brands) = (&change.description, &change.brands);
        check(
            description.as_deref().unwrap_or_default(),
            brands.as_deref().unwrap_or_default(),
        )?;
        self.connections.write(|w| {
            let conn = w.conn();
            one(conn, id)?;
            conn.execute(
                "UPDATE webhooks SET url = ifnull(?2, url), description = ifnull(?3, description),
                    events = ifnull(?4, events), brands = ifnull(?5, brands),
                    disabled_reason = CASE WHEN ?6 IS NULL THEN disabled_reason END,
                    enabled = ifnull(?6, enabled)
                 WHERE id = ?1",
                params![
                    id.as_str(),
                    change.url,
                    description,
                    change
                        .events
                        .as_ref()
                        .map(|events| json!(events).to_string()),
                    brands.as_deref().map(rows::list_text),
                    change.enabled,
                ],
            )?;
            if change.enabled == Some(false) {
                give_up_pending(conn, id)?;
            }
            let record = one(conn, id)?;
            note(w, AuditAction::WebhookChanged, &record)?;
            Ok(record)
        })
    }

    /// Gives a webhook a new secret, told this once. For a day what is sent is signed with the one before,
    /// too.
    ///
    /// # Errors
    /// [`StoreError::NoSuchWebhook`], and those of the database.
    pub fn rotate_webhook(&self, id: &WebhookId) -> Result<IssuedSecret, StoreError> {
        let secret: [u8; 32] = secrets::random()?;
        self.connections.write(|w| {
            let conn = w.conn();
            conn.execute(
                "UPDATE webhooks SET previous_secret = secret, secret = ?2,
                    previous_until = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?3)
                 WHERE id = ?1",
                params![id.as_str(), secret, OVERLAP],
            )?;
            let record = one(conn, id)?;
            note(w, AuditAction::WebhookSecretChanged, &record)?;
            Ok(issued(record, &secret))
        })
    }

    /// Forgets a webhook with all that was and is to be told to it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchWebhook`], and those of the database.
    pub fn remove_webhook(&self, id: &WebhookId) -> Result<(), StoreError> {
        self.connections.write(|w| {
            let record = one(w.conn(), id)?;
            w.conn()
                .execute("DELETE FROM webhooks WHERE id = ?1", [id.as_str()])?;
            note(w, AuditAction::WebhookRemoved, &record)
        })
    }
}

/// Disables a webhook that nobody answers for.
pub(super) fn disable(w: &Writing<'_>, id: &WebhookId, reason: &str) -> Result<(), StoreError> {
    w.conn().execute(
        "UPDATE webhooks SET enabled = 0, disabled_reason = ?2 WHERE id = ?1",
        params![id.as_str(), reason],
    )?;
    give_up_pending(w.conn(), id)?;
    let record = one(w.conn(), id)?;
    note(w, AuditAction::WebhookChanged, &record)
}

/// What a webhook was not told while it was enabled, it is not told later: it would be stale.
fn give_up_pending(conn: &Connection, id: &WebhookId) -> Result<(), StoreError> {
    conn.execute(
        "UPDATE deliveries SET state = 'failed' WHERE webhook_id = ?1 AND state = 'pending'",
        [id.as_str()],
    )?;
    Ok(())
}

fn check(description: &str, brands: &[String]) -> Result<(), StoreError> {
    let n_chars = description.chars().count();
    if n_chars > MAX_DESCRIPTION_CHARS {
        return Err(bad(format!(
            "the description has {n_chars} characters, at most {MAX_DESCRIPTION_CHARS} are kept"
        )));
    }
    if brands.len() > MAX_BRANDS {
        return Err(bad(format!("a webhook names at most {MAX_BRANDS} brands")));
    }
    Ok(())
}

fn bad(reason: String) -> StoreError {
    StoreError::BadWebhook { reason }
}

fn issued(record: WebhookRecord, secret: &[u8]) -> IssuedSecret {
    let secret = format!("whsec_{}", BASE64_STANDARD.encode(secret));
    IssuedSecret { record, secret }
}

fn note(w: &Writing<'_>, action: AuditAction, record: &WebhookRecord) -> Result<(), StoreError> {
    let details = json!({
        "url": record.url, "events": record.events, "brands": record.brands,
        "enabled": record.enabled, "disabled_reason": record.disabled_reason,
    });
    w.audit(action, &format!("webhook {}", record.id), Some(&details))
}

fn one(conn: &Connection, id: &WebhookId) -> Result<WebhookRecord, StoreError> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM webhooks WHERE id = ?1"))?
        .query_row([id.as_str()], |row| Ok(webhook(row)))
        .optional()?
        .ok_or_else(|| StoreError::NoSuchWebhook { id: id.clone() })?
}

fn webhook(row: &Row<'_>) -> Result<WebhookRecord, StoreError> {
    fn list<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Vec<T>, StoreError> {
        let text: String = row.get(column)?;
        serde_json::from_str(&text).map_err(|cause| rows::bad_row("webhooks", 0, cause))
    }
    let id: String = row.get(0)?;
    Ok(WebhookRecord {
        id: id
            .parse()
            .map_err(|cause: crate::domain::WebhookIdError| rows::bad_row("webhooks", 0, cause))?,
        url: row.get(1)?,
        description: row.get(2)?,
        events: list(row, 3)?,
        brands: list(row, 4)?,
        enabled: row.get(5)?,
        disabled_reason: row.get(6)?,
        n_pending: row.get::<_, i64>(7)?.unsigned_abs(),
        created_at: row.get(8)?,
    })
}
