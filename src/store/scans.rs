//! Scans that were asked for: which wait, how far the one at work is, what came of those that ended. Their
//! files lie beside the database; here is only the name of their folder.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::webhooks::events;
use super::{Store, StoreError, rows};
use crate::domain::{AuditAction, EventKind, ScanId, ScanState};

/// Columns of [`scan`], in its order.
const COLUMNS: &str = "id, folder, name, kind, state, asked_by, n_photos, n_done, summary, error,
    created_at, started_at, ended_at";
/// Scans of a tenant that may wait.
const MAX_WAITING: u32 = 20;

/// A scan to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewScan {
    /// Name of the folder with its files.
    pub folder: String,
    /// What was handed in, for people.
    pub name: String,
    /// The ending of its file.
    pub kind: String,
    /// Photos in it.
    pub n_photos: u64,
    /// Who asked.
    pub asked_by: String,
}

/// A scan that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ScanRecord {
    /// Its id.
    pub id: ScanId,
    /// Name of the folder with its files.
    #[serde(skip)]
    pub folder: String,
    /// What was handed in.
    #[schema(example = "listings.jsonl")]
    pub name: String,
    /// Its form: `csv`, `jsonl`, `zip`, `tar` or `tar.gz`.
    pub kind: String,
    /// Where it stands.
    pub state: ScanState,
    /// Who asked.
    pub asked_by: String,
    /// Photos in it, and lines that cannot be read.
    pub n_photos: u64,
    /// Of these, how many are done.
    pub n_done: u64,
    /// What it came to, as in a summary of `touchstone scan`; `null` before its end.
    pub summary: Option<Value>,
    /// Why it came to nothing.
    pub error: Option<String>,
    /// When it was asked for, RFC 3339 UTC.
    pub created_at: String,
    /// When it was begun.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
}

impl Store {
    /// Takes a scan into the queue; on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::TooManyScans`], and those of the database.
    pub fn create_scan(&self, new: &NewScan) -> Result<ScanRecord, StoreError> {
        self.connections.write(|w| {
            let conn = w.conn();
            let n_waiting: u32 = conn.query_row(
                "SELECT count(*) FROM scans WHERE state = 'waiting'",
                [],
                |row| row.get(0),
            )?;
            if n_waiting >= MAX_WAITING {
                return Err(StoreError::TooManyScans { n_waiting });
            }
            let id = conn
                .prepare_cached(
                    "INSERT INTO scans (folder, name, kind, state, asked_by, n_photos)
                     VALUES (?1, ?2, ?3, 'waiting', ?4, ?5) RETURNING id",
                )?
                .query_row(
                    params![
                        new.folder,
                        new.name,
                        new.kind,
                        new.asked_by,
                        new.n_photos as i64
                    ],
                    |row| row.get(0).map(ScanId),
                )?;
            let details = json!({ "name": new.name, "n_photos": new.n_photos });
            w.audit(AuditAction::ScanAsked, &subject(id), Some(&details))?;
            one(conn, id)
        })
    }

    /// All scans behind `before`, newest first, at most `limit`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn scans(&self, before: Option<ScanId>, limit: u32) -> Result<Vec<ScanRecord>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM scans WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
            ))?;
            let before = before.map_or(i64::MAX, |id| id.0);
            let mut found = statement.query(params![before, limit])?;
            let mut scans = Vec::new();
            while let Some(row) = found.next()? {
                scans.push(scan(row)?);
            }
            Ok(scans)
        })
    }

    /// One scan.
    ///
    /// # Errors
    /// [`StoreError::NoSuchScan`], and those of the database.
    pub fn scan(&self, id: ScanId) -> Result<ScanRecord, StoreError> {
        self.connections.read_one(|conn| one(conn, id))
    }

    /// Whether a scan waits.
    ///
    /// # Errors
    /// Those of the database.
    pub fn has_waiting_scan(&self) -> Result<bool, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn.query_row(
                "SELECT EXISTS (SELECT 1 FROM scans WHERE state = 'waiting')",
                [],
                |row| row.get(0),
            )?)
        })
    }

    /// The scan that waits longest, for this process to do.
    ///
    /// # Errors
    /// Those of the database.
    pub fn claim_scan(&self) -> Result<Option<ScanRecord>, StoreError> {
        if !self.has_waiting_scan()? {
            return Ok(None);
        }
        self.connections.write(|w| {
            let claimed: Option<i64> = w
                .conn()
                .prepare_cached(
                    "UPDATE scans SET state = 'running',
                        started_at = ifnull(started_at, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
                     WHERE id = (SELECT min(id) FROM scans WHERE state = 'waiting') RETURNING id",
                )?
                .query_row([], |row| row.get(0))
                .optional()?;
            claimed.map(|id| one(w.conn(), ScanId(id))).transpose()
        })
    }

    /// Puts scans that were at work when a process ended back into the queue. One that another process is
    /// at work on is taken back by it ([`note_scan`](Self::note_scan)).
    ///
    /// # Errors
    /// Those of the database.
    pub fn requeue_scans(&self) -> Result<(), StoreError> {
        self.connections.write(|w| {
            w.conn().execute(
                "UPDATE scans SET state = 'waiting' WHERE state = 'running'",
                [],
            )?;
            Ok(())
        })
    }

    /// Puts a scan that is left before its end back into the queue; whether it is still wanted.
    ///
    /// # Errors
    /// Those of the database.
    pub fn requeue_scan(&self, id: ScanId) -> Result<bool, StoreError> {
        self.connections.write(|w| {
            let n_changed = w.conn().execute(
                "UPDATE scans SET state = 'waiting'
                 WHERE id = ?1 AND state IN ('waiting', 'running')",
                [id.0],
            )?;
            Ok(n_changed == 1)
        })
    }

    /// Notes how far a scan is, and that it is at work, whoever put it back into the queue meanwhile;
    /// whether it is still wanted.
    ///
    /// # Errors
    /// Those of the database.
    pub fn note_scan(&self, id: ScanId, n_done: u64) -> Result<bool, StoreError> {
        self.connections.write(|w| {
            let n_changed = w
                .conn()
                .prepare_cached(
                    "UPDATE scans SET n_done = ?2, state = 'running'
                     WHERE id = ?1 AND state IN ('waiting', 'running')",
                )?
                .execute(params![id.0, n_done as i64])?;
            Ok(n_changed == 1)
        })
    }

    /// Writes down what a scan came to, or why it came to nothing, and tells the webhooks; whether anybody
    /// still wanted it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn end_scan(
        &self,
        id: ScanId,
        outcome: Result<(u64, &Value), &str>,
    ) -> Result<bool, StoreError> {
        let (state, n_done, summary, error) = match outcome {
            Ok((n_done, summary)) => (ScanState::Done, Some(n_done), Some(summary), None),
            Err(reason) => (ScanState::Failed, None, None, Some(reason)),
        };
        self.connections.write(|w| {
            let conn = w.conn();
            let n_changed = conn.execute(
                "UPDATE scans SET state = ?2, n_done = ifnull(?3, n_done), summary = ?4, error = ?5,
                    ended_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
                 WHERE id = ?1",
                params![
                    id.0,
                    state.as_str(),
                    n_done.map(|n| n as i64),
                    summary.map(Value::to_string),
                    error
                ],
            )?;
            if n_changed == 0 {
                return Ok(false);
            }
            let record = one(conn, id)?;
            events::announce(conn, EventKind::ScanFinished, None, || Ok(told(&record)))?;
            Ok(true)
        })
    }

    /// Forgets a scan, also one at work; gives what is known of it, for its files to be removed.
    ///
    /// # Errors
    /// [`StoreError::NoSuchScan`], and those of the database.
    pub fn remove_scan(&self, id: ScanId) -> Result<ScanRecord, StoreError> {
        self.connections.write(|w| {
            let record = one(w.conn(), id)?;
            w.conn()
                .execute("DELETE FROM scans WHERE id = ?1", [id.0])?;
            let details = json!({ "name": record.name, "state": record.state });
            w.audit(AuditAction::ScanRemoved, &subject(id), Some(&details))?;
            Ok(record)
        })
    }
}

impl Store {
    /// Writes down that results of a scan leave.
    ///
    /// # Errors
    /// Those of the database.
    pub fn note_scan_export(&self, id: ScanId, format: &str) -> Result<(), StoreError> {
        let details = json!({ "format": format });
        self.connections
            .write(|w| w.audit(AuditAction::Exported, &subject(id), Some(&details)))
    }

    /// Forgets all scans that ended more than so many days ago; gives what is known of them, for their files
    /// to be removed.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget_scans(&self, keep_days: u32) -> Result<Vec<ScanRecord>, StoreError> {
        let since = format!("-{keep_days} days");
        self.connections.write(|w| {
            let mut statement = w.conn().prepare_cached(&format!(
                "DELETE FROM scans
                 WHERE ended_at < strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?1)
                    AND state IN ('done', 'failed')
                 RETURNING {COLUMNS}"
            ))?;
            let mut found = statement.query([since])?;
            let mut forgotten = Vec::new();
            while let Some(row) = found.next()? {
                forgotten.push(scan(row)?);
            }
            Ok(forgotten)
        })
    }
}

/// What webhooks are told of a scan's end: counts, and no brand.
fn told(record: &ScanRecord) -> Value {
    let count = |name: &str| record.summary.as_ref().map_or(&Value::Null, |s| &s[name]);
    json!({
        "scan_id": record.id, "source": record.name, "state": record.state,
        "error": record.error, "n_photos": record.n_photos,
        "n_flagged": count("n_flagged"), "n_review": count("n_review"),
        "n_clear": count("n_clear"), "n_failed": count("n_failed"),
        "n_findings": count("n_findings"),
    })
}

fn subject(id: ScanId) -> String {
    format!("scan {}", id.0)
}

fn one(conn: &Connection, id: ScanId) -> Result<ScanRecord, StoreError> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM scans WHERE id = ?1"))?
        .query_row([id.0], |row| Ok(scan(row)))
        .optional()?
        .ok_or(StoreError::NoSuchScan { id })?
}

fn scan(row: &Row<'_>) -> Result<ScanRecord, StoreError> {
    let id: i64 = row.get(0)?;
    let state: String = row.get(4)?;
    let summary: Option<String> = row.get(8)?;
    let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(ScanRecord {
        id: ScanId(id),
        folder: row.get(1)?,
        name: row.get(2)?,
        kind: row.get(3)?,
        state: ScanState::of_word(&state)
            .ok_or_else(|| rows::bad_row("scans", id, format!("state {state:?}")))?,
        asked_by: row.get(5)?,
        n_photos: count(6)?,
        n_done: count(7)?,
        summary: summary
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|cause: serde_json::Error| rows::bad_row("scans", id, cause))?,
        error: row.get(9)?,
        created_at: row.get(10)?,
        started_at: row.get(11)?,
        ended_at: row.get(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str) -> NewScan {
        NewScan {
            folder: format!("folder of {name}"),
            name: name.to_owned(),
            kind: "jsonl".to_owned(),
            n_photos: 7,
            asked_by: "ann".to_owned(),
        }
    }

    #[test]
    fn scans_are_done_in_the_order_in_which_they_came_and_go_on_after_a_restart() {
        let store = Store::open_in_memory().expect("a store");
        let first = store.create_scan(&new("a")).expect("taken").id;
        let second = store.create_scan(&new("b")).expect("taken").id;
        let claim = || store.claim_scan().expect("readable").map(|scan| scan.id);
        assert_eq!(claim(), Some(first));
        assert!(store.note_scan(first, 3).expect("written"));
        store.requeue_scans().expect("written");
        assert!(store.has_waiting_scan().expect("readable"));
        assert_eq!(
            [claim(), claim(), claim()],
            [Some(first), Some(second), None]
        );
        assert!(!store.has_waiting_scan().expect("readable"));
        let record = store.scan(first).expect("there");
        assert_eq!((record.n_done, record.state), (3, ScanState::Running));
        let summary = json!({ "n_flagged": 2 });
        assert!(store.end_scan(first, Ok((7, &summary))).expect("written"));
        assert!(!store.note_scan(first, 4).expect("written"), "ended");
        let record = store.scan(first).expect("there");
        assert_eq!((record.n_done, record.state), (7, ScanState::Done));
        assert_eq!(record.summary, Some(summary));
        assert!(store.end_scan(second, Err("damaged")).expect("written"));
        let list = store.scans(None, 10).expect("readable");
        let states: Vec<_> = list.iter().map(|scan| (scan.id, scan.state)).collect();
        assert_eq!(
            states,
            [(second, ScanState::Failed), (first, ScanState::Done)]
        );
        assert_eq!(store.scans(Some(second), 10).expect("readable"), list[1..]);
    }

    #[test]
    fn a_scan_at_work_is_taken_back_from_the_queue_and_left_alone() {
        let store = Store::open_in_memory().expect("a store");
        let [first, second] = ["a", "b"].map(|name| {
            store.create_scan(&new(name)).expect("taken");
            store.claim_scan().expect("readable").expect("one waits").id
        });
        let state = |id| store.scan(id).expect("there").state;
        // As another server does when it starts.
        store.requeue_scans().expect("written");
        assert_eq!(state(second), ScanState::Waiting);
        assert!(store.note_scan(second, 3).expect("written"));
        assert_eq!(state(second), ScanState::Running);
        assert!(store.note_scan(first, 1).expect("written"));
        assert!(store.requeue_scan(first).expect("written"));
        assert_eq!(
            [state(first), state(second)],
            [ScanState::Waiting, ScanState::Running]
        );
        store.end_scan(second, Err("damaged")).expect("written");
        assert!(!store.requeue_scan(second).expect("written"), "ended");
        assert_eq!(state(second), ScanState::Failed);
    }

    #[test]
    fn a_scan_that_was_removed_is_wanted_no_longer() {
        let store = Store::open_in_memory().expect("a store");
        let id = store.create_scan(&new("a")).expect("taken").id;
        store.claim_scan().expect("readable");
        assert_eq!(store.remove_scan(id).expect("there").folder, "folder of a");
        assert!(!store.note_scan(id, 1).expect("written"));
        assert!(!store.requeue_scan(id).expect("written"));
        assert!(!store.end_scan(id, Ok((1, &json!({})))).expect("written"));
        let gone = store.remove_scan(id).expect_err("gone");
        assert!(matches!(gone, StoreError::NoSuchScan { .. }));
    }

    #[test]
    fn only_scans_that_ended_long_ago_are_forgotten() {
        let store = Store::open_in_memory().expect("a store");
        let [old, recent, running] = ["old", "recent", "running"].map(|name| {
            let id = store.create_scan(&new(name)).expect("taken").id;
            store.claim_scan().expect("readable");
            id
        });
        for id in [old, recent] {
            store.end_scan(id, Ok((7, &json!({})))).expect("written");
        }
        let ended = |id: ScanId, ago: &str| {
            let writer = store.connections.writer();
            let set = "UPDATE scans SET ended_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?2)
                WHERE id = ?1";
            writer.execute(set, params![id.0, ago]).expect("written");
        };
        ended(old, "-31 days");
        ended(recent, "-29 days");
        let forgotten = store.forget_scans(30).expect("written");
        assert_eq!(forgotten.len(), 1);
        assert_eq!(
            (forgotten[0].id, forgotten[0].folder.as_str()),
            (old, "folder of old")
        );
        let left: Vec<_> = store.scans(None, 10).expect("readable");
        let left: Vec<_> = left.into_iter().map(|scan| scan.id).collect();
        assert_eq!(left, [running, recent]);
    }

    #[test]
    fn the_queue_has_an_end() {
        let store = Store::open_in_memory().expect("a store");
        for n in 0..MAX_WAITING {
            store.create_scan(&new(&n.to_string())).expect("taken");
        }
        let refused = store.create_scan(&new("more")).expect_err("too many");
        assert!(matches!(
            refused,
            StoreError::TooManyScans { n_waiting: 20 }
        ));
    }
}
