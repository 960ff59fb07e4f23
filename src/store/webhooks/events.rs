//! Writing down what is to be told, in the transaction of what happens.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::domain::{EventKind, FindingId, Opinion};
use crate::store::{Store, StoreError, secrets};

impl Store {
    /// Writes down an event that changes nothing here, for those who want to be told of it: the end of a
    /// scan. `data` is what they are told.
    ///
    /// # Errors
    /// Those of the database.
    pub fn announce(&self, kind: EventKind, data: &Value) -> Result<(), StoreError> {
        self.connections
            .write(|w| announce(w.conn(), kind, None, || Ok(data.clone())))
    }
}

/// Writes down an event for all webhooks that want it. `data` is asked for only when there are any.
pub(in crate::store) fn announce(
    conn: &Connection,
    kind: EventKind,
    brand: Option<&str>,
    data: impl FnOnce() -> Result<Value, StoreError>,
) -> Result<(), StoreError> {
    let wanted: Vec<String> = conn
        .prepare_cached(
            "SELECT id FROM webhooks WHERE enabled
                AND (events = '[]' OR EXISTS (SELECT 1 FROM json_each(events) WHERE value = ?1))
                AND (?2 IS NULL OR brands = '[]'
                    OR EXISTS (SELECT 1 FROM json_each(brands) WHERE value = ?2))
             ORDER BY id",
        )?
        .query_map(params![kind.as_str(), brand], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if wanted.is_empty() {
        return Ok(());
    }
    let now: String =
        conn.query_row("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', 'now')", [], |row| {
            row.get(0)
        })?;
    let body = json!({ "type": kind, "timestamp": now, "data": data()? });
    let event: i64 = conn
        .prepare_cached(
            "INSERT INTO events (message_id, kind, body, created_at) VALUES (?1, ?2, ?3, ?4)
             RETURNING id",
        )?
        .query_row(
            params![message_id()?, kind.as_str(), body.to_string(), now],
            |row| row.get(0),
        )?;
    for webhook in wanted {
        conn.prepare_cached(
            "INSERT INTO deliveries (webhook_id, event_id, state, n_tries, due_ms)
             VALUES (?1, ?2, 'pending', 0, 0)",
        )?
        .execute(params![webhook, event])?;
    }
    Ok(())
}

fn message_id() -> Result<String, StoreError> {
    let bytes: [u8; 12] = secrets::random()?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("msg_{digits}"))
}

/// Tells of a new finding.
pub(in crate::store) fn finding_created(
    conn: &Connection,
    id: FindingId,
) -> Result<(), StoreError> {
    let brand = brand_of(conn, id)?;
    announce(conn, EventKind::FindingCreated, Some(&brand), || {
        finding(conn, id)
    })
}

/// Tells of a decision on a finding; `None`: one was taken back.
pub(in crate::store) fn finding_decided(
    conn: &Connection,
    id: FindingId,
    decision: Option<Opinion>,
    reason: Option<&str>,
    decided_by: &str,
) -> Result<(), StoreError> {
    let brand = brand_of(conn, id)?;
    announce(conn, EventKind::FindingDecided, Some(&brand), || {
        let mut data = finding(conn, id)?;
        data["decision"] = json!(decision);
        data["reason"] = json!(reason);
        data["decided_by"] = json!(decided_by);
        Ok(data)
    })
}

fn brand_of(conn: &Connection, id: FindingId) -> Result<String, StoreError> {
    Ok(conn
        .prepare_cached("SELECT brand FROM findings WHERE id = ?1")?
        .query_row([id.0], |row| row.get(0))?)
}

/// What is told of a finding: what was found and where. No other brand's asset, no seller, no numbers
/// that only an engineer reads; whoever wants more asks for it with a key.
fn finding(conn: &Connection, id: FindingId) -> Result<Value, StoreError> {
    let (told, text): (Value, String) = conn
        .prepare_cached(
            "SELECT f.status, f.source, f.asset_id, f.brand, f.kind, f.probability, f.created_at,
                l.listing_id, s.name, lower(hex(p.sha256)), f.finding
             FROM findings AS f JOIN sightings AS s ON s.id = f.sighting_id
             JOIN photos AS p ON p.id = s.photo_id LEFT JOIN listings AS l ON l.id = s.listing
             WHERE f.id = ?1",
        )?
        .query_row([id.0], |row| {
            let told = json!({
                "finding_id": id,
                "status": row.get::<_, String>(0)?,
                "source": row.get::<_, String>(1)?,
                "asset_id": row.get::<_, i64>(2)?,
                "asset": null,
                "brand": row.get::<_, String>(3)?,
                "kind": row.get::<_, String>(4)?,
                "probability": row.get::<_, f64>(5)?,
                "region": null,
                "listing_id": row.get::<_, Option<String>>(7)?,
                "photo": row.get::<_, String>(8)?,
                "photo_sha256": row.get::<_, String>(9)?,
                "created_at": row.get::<_, String>(6)?,
            });
            Ok((told, row.get(10)?))
        })?;
    let mut told = told;
    let found: Value = serde_json::from_str(&text)
        .map_err(|error| crate::store::rows::bad_row("findings", id.0, error))?;
    for field in ["asset", "region"] {
        told[field] = found[field].clone();
    }
    Ok(told)
}
