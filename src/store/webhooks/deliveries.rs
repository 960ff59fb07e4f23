//! Deliveries: which are due, whose they are to try, and what came of it.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::endpoints::disable;
use super::{ClaimedDelivery, DeliveryPage, DeliveryRecord, Outcome, Settled, TryRecord};
use crate::domain::{DeliveryState, EventKind, WebhookId};
use crate::store::{Store, StoreError, rows};

/// Tries of a delivery that are remembered.
const MAX_TRIES_KEPT: u32 = 10;
/// How long it is remembered what was told.
const KEPT: &str = "-30 days";
/// Milliseconds since 1970, as SQLite says it.
const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

impl Store {
    /// The webhooks that something is to be told to: all of them, and of these the ones that it is due for.
    ///
    /// # Errors
    /// Those of the database.
    pub fn webhooks_waiting(&self) -> Result<(usize, Vec<WebhookId>), StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT webhook_id, min(due_ms) <= {NOW_MS} FROM deliveries
                 WHERE state = 'pending' GROUP BY webhook_id"
            ))?;
            let mut found = statement.query([])?;
            let (mut n_waiting, mut due) = (0, Vec::new());
            while let Some(row) = found.next()? {
                n_waiting += 1;
                if row.get(1)? {
                    due.push(webhook_id(&row.get::<_, String>(0)?)?);
                }
            }
            Ok((n_waiting, due))
        })
    }

    /// The delivery to a webhook that is due longest, for this process to try: nobody else gets it for
    /// `lease_ms`, and if this process ends, it is due again then.
    ///
    /// # Errors
    /// Those of the database.
    pub fn claim_delivery(
        &self,
        webhook: &WebhookId,
        lease_ms: i64,
    ) -> Result<Option<ClaimedDelivery>, StoreError> {
        self.connections.write(|w| {
            let claimed: Option<i64> = w
                .conn()
                .prepare_cached(&format!(
                    "UPDATE deliveries SET due_ms = {NOW_MS} + ?2 WHERE id = (
                        SELECT id FROM deliveries
                        WHERE webhook_id = ?1 AND state = 'pending' AND due_ms <= {NOW_MS}
                        ORDER BY due_ms, id LIMIT 1)
                     RETURNING id"
                ))?
                .query_row(params![webhook.as_str(), lease_ms], |row| row.get(0))
                .optional()?;
            claimed.map(|id| to_try(w.conn(), id)).transpose()
        })
    }

    /// Writes down what came of a try, and what follows.
    ///
    /// # Errors
    /// Those of the database.
    pub fn settle_delivery(
        &self,
        id: i64,
        outcome: &Outcome,
        settled: &Settled,
    ) -> Result<(), StoreError> {
        self.connections.write(|w| {
            let conn = w.conn();
            let webhook: Option<String> = conn
                .prepare_cached(
                    "UPDATE deliveries SET n_tries = n_tries + 1 WHERE id = ?1
                     RETURNING webhook_id",
                )?
                .query_row([id], |row| row.get(0))
                .optional()?;
            let Some(webhook) = webhook else {
                // The webhook was removed meanwhile.
                return Ok(());
            };
            keep_try(conn, id, outcome)?;
            match settled {
                Settled::Delivered => end(conn, id, DeliveryState::Delivered),
                // One that was given up meanwhile stays so.
                Settled::Again { after_ms } => {
                    conn.prepare_cached(&format!(
                        "UPDATE deliveries SET due_ms = {NOW_MS} + ?2 WHERE id = ?1"
                    ))?
                    .execute(params![id, after_ms])?;
                    Ok(())
                }
                Settled::GivenUp { reason, is_gone } => {
                    end(conn, id, DeliveryState::Failed)?;
                    let webhook = webhook_id(&webhook)?;
                    if *is_gone || takes_nothing(conn, id)? {
                        disable(w, &webhook, reason)?;
                    }
                    Ok(())
                }
            }
        })
    }

    /// Deliveries to a webhook, newest first.
    ///
    /// # Errors
    /// [`StoreError::NoSuchWebhook`], and those of the database.
    pub fn deliveries(
        &self,
        webhook: &WebhookId,
        page: &DeliveryPage,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.webhook(webhook)?;
        self.connections.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT d.id, e.message_id, e.kind, d.state, e.created_at,
                    strftime('%Y-%m-%dT%H:%M:%SZ', d.due_ms / 1000, 'unixepoch'), d.n_tries
                 FROM deliveries AS d JOIN events AS e ON e.id = d.event_id
                 WHERE d.webhook_id = ?1 AND d.id < ?2 AND (?3 IS NULL OR d.state = ?3)
                 ORDER BY d.id DESC LIMIT ?4",
            )?;
            let mut found = statement.query(params![
                webhook.as_str(),
                page.before.unwrap_or(i64::MAX),
                page.state.map(DeliveryState::as_str),
                page.limit
            ])?;
            let mut deliveries = Vec::new();
            while let Some(row) = found.next()? {
                deliveries.push(delivery(conn, row)?);
            }
            Ok(deliveries)
        })
    }

    /// Forgets what was told long ago, and was not to be told to anybody any more.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget_events(&self) -> Result<(), StoreError> {
        self.connections.write(|w| {
            w.conn().execute(
                "DELETE FROM events WHERE created_at < strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?1)
                    AND NOT EXISTS (SELECT 1 FROM deliveries
                        WHERE event_id = events.id AND state = 'pending')",
                [KEPT],
            )?;
            Ok(())
        })
    }
}

fn webhook_id(text: &str) -> Result<WebhookId, StoreError> {
    text.parse()
        .map_err(|cause: crate::domain::WebhookIdError| rows::bad_row("deliveries", 0, cause))
}

fn to_try(conn: &Connection, id: i64) -> Result<ClaimedDelivery, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT w.url, e.message_id, e.body, w.secret,
                CASE WHEN w.previous_until > strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
                    THEN w.previous_secret END,
                d.n_tries, unixepoch('now') - unixepoch(e.created_at)
             FROM deliveries AS d JOIN events AS e ON e.id = d.event_id
             JOIN webhooks AS w ON w.id = d.webhook_id WHERE d.id = ?1",
        )?
        .query_row([id], |row| {
            let mut secrets = vec![row.get(3)?];
            secrets.extend(row.get::<_, Option<Vec<u8>>>(4)?);
            Ok(ClaimedDelivery {
                id,
                url: row.get(0)?,
                message_id: row.get(1)?,
                body: row.get(2)?,
                secrets,
                n_tries: row.get(5)?,
                age_s: row.get(6)?,
            })
        })?)
}

fn end(conn: &Connection, id: i64, state: DeliveryState) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE deliveries SET state = ?2 WHERE id = ?1")?
        .execute(params![id, state.as_str()])?;
    Ok(())
}

fn keep_try(conn: &Connection, id: i64, outcome: &Outcome) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO delivery_tries (delivery_id, status, error, elapsed_ms)
         VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        id,
        outcome.status,
        outcome.error,
        outcome.elapsed_ms
    ])?;
    conn.prepare_cached(
        "DELETE FROM delivery_tries WHERE delivery_id = ?1 AND id NOT IN (
            SELECT id FROM delivery_tries WHERE delivery_id = ?1 ORDER BY id DESC LIMIT ?2)",
    )?
    .execute(params![id, MAX_TRIES_KEPT])?;
    Ok(())
}

/// Whether the webhook has taken nothing since the event of this delivery.
fn takes_nothing(conn: &Connection, id: i64) -> Result<bool, StoreError> {
    Ok(conn.query_row(
        "SELECT NOT EXISTS (
            SELECT 1 FROM deliveries AS d JOIN delivery_tries AS t ON t.delivery_id = d.id
            WHERE d.state = 'delivered'
                AND d.webhook_id = (SELECT webhook_id FROM deliveries WHERE id = ?1)
                AND t.at >= (SELECT e.created_at FROM deliveries AS g
                    JOIN events AS e ON e.id = g.event_id WHERE g.id = ?1))",
        [id],
        |row| row.get(0),
    )?)
}

fn delivery(conn: &Connection, row: &Row<'_>) -> Result<DeliveryRecord, StoreError> {
    let id: i64 = row.get(0)?;
    let bad = |what: &str, word: &str| rows::bad_row("deliveries", id, format!("{what} {word:?}"));
    let (kind, state): (String, String) = (row.get(2)?, row.get(3)?);
    let state = DeliveryState::of_word(&state).ok_or_else(|| bad("state", &state))?;
    let is_pending = state == DeliveryState::Pending;
    Ok(DeliveryRecord {
        id,
        message_id: row.get(1)?,
        event: EventKind::of_word(&kind).ok_or_else(|| bad("event", &kind))?,
        state,
        created_at: row.get(4)?,
        due_at: row.get::<_, Option<String>>(5)?.filter(|_| is_pending),
        n_tries: row.get(6)?,
        tries: tries(conn, id)?,
    })
}

fn tries(conn: &Connection, delivery: i64) -> Result<Vec<TryRecord>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT at, status, error, elapsed_ms FROM delivery_tries
         WHERE delivery_id = ?1 ORDER BY id",
    )?;
    let tries = statement.query_map([delivery], |row| {
        Ok(TryRecord {
            at: row.get(0)?,
            status: row.get(1)?,
            error: row.get(2)?,
            elapsed_ms: row.get(3)?,
        })
    })?;
    Ok(tries.collect::<Result<_, _>>()?)
}
