//! The audit log: who did what, written in the transaction that does it, so that neither is without
//! the other. Entries are only added.

use std::cell::RefCell;
use std::env;

use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::connections::Writing;
use super::{Store, StoreError, rows};
use crate::domain::{Actor, AuditAction, KeyId, Role};

thread_local! {
    static ACTOR: RefCell<Option<Actor>> = const { RefCell::new(None) };
}

/// Runs `work`; what it does with stores on this thread is written down as done by `actor`.
pub fn acting_as<T>(actor: Actor, work: impl FnOnce() -> T) -> T {
    /// Puts the one before back, also after a panic.
    struct Restore(Option<Actor>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ACTOR.set(self.0.take());
        }
    }
    let _restore = Restore(ACTOR.replace(Some(actor)));
    work()
}

/// Whoever was named; else the user of the command line.
fn actor() -> Actor {
    ACTOR.with_borrow(Clone::clone).unwrap_or_else(|| {
        let user = env::var("USER").or_else(|_| env::var("USERNAME"));
        let user = user.ok().filter(|user| !user.is_empty());
        Actor::named(match user {
            Some(user) => format!("command line, {user}"),
            None => "command line".to_owned(),
        })
    })
}

/// One deed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its place in the log.
    pub id: i64,
    /// When, RFC 3339 UTC.
    pub at: String,
    /// Who, for people: a key's label, a user of the command line.
    pub who: String,
    /// The role it was done in; `null` for the command line.
    pub role: Option<Role>,
    /// The key it was done with.
    pub key_id: Option<KeyId>,
    /// What was done.
    pub action: AuditAction,
    /// What it was done to.
    #[schema(example = "asset 7")]
    pub subject: String,
    /// What else is worth knowing of it.
    pub details: Option<Value>,
    /// Finds the request in the server's log.
    pub request_id: Option<String>,
}

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// Only those before this one, newest first; `None` from the newest on.
    pub before: Option<i64>,
    /// Only of this action.
    pub action: Option<AuditAction>,
    /// At most this many.
    pub limit: u32,
}

const COLUMNS: &str = "id, at, who, role, key_id, action, subject, details, request_id";

impl Store {
    /// Writes down a deed that changes nothing here: an export, a sign-in, a key made.
    ///
    /// # Errors
    /// Those of the database.
    pub fn audit(
        &self,
        action: AuditAction,
        subject: &str,
        details: Option<&Value>,
    ) -> Result<(), StoreError> {
        self.connections
            .write(|w| w.audit(action, subject, details))
    }

    /// Entries of the log, newest first.
    ///
    /// # Errors
    /// Those of the database, [`StoreError::BadRow`] for a row that someone else wrote.
    pub fn audit_entries(&self, page: &AuditPage) -> Result<Vec<AuditEntry>, StoreError> {
        self.connections.read_one(|conn| {
            let condition = "id < ?1 AND (?2 IS NULL OR action = ?2) ORDER BY id DESC LIMIT ?3";
            let before = page.before.unwrap_or(i64::MAX);
            let action = page.action.map(AuditAction::as_str);
            entries(conn, condition, params![before, action, page.limit])
        })
    }

    /// Up to `limit` entries behind the place `after`, oldest first; the log begins behind 0.
    ///
    /// # Errors
    /// As [`audit_entries`](Self::audit_entries).
    pub fn audit_entries_after(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.connections
            .read_one(|conn| entries(conn, "id > ?1 ORDER BY id LIMIT ?2", params![after, limit]))
    }
}

fn entries(
    conn: &Connection,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM audit WHERE {condition}"))?;
    let mut found = statement.query(values)?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

fn entry(row: &Row<'_>) -> Result<AuditEntry, StoreError> {
    let id = row.get(0)?;
    let bad = |cause: rows::Cause| rows::bad_row("audit", id, cause);
    let (role, key): (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
    let action: String = row.get(5)?;
    let details: Option<String> = row.get(7)?;
    Ok(AuditEntry {
        id,
        at: row.get(1)?,
        who: row.get(2)?,
        role: role
            .map(|word| word.parse())
            .transpose()
            .map_err(|error: crate::domain::AccessWordError| bad(error.into()))?,
        key_id: key
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: crate::domain::AccessWordError| bad(error.into()))?,
        action: AuditAction::of_word(&action)
            .ok_or_else(|| bad(format!("action {action:?}").into()))?,
        subject: row.get(6)?,
        details: details
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| bad(error.into()))?,
        request_id: row.get(8)?,
    })
}

impl Writing<'_> {
    /// Writes down what this transaction does.
    pub(super) fn audit(
        &self,
        action: AuditAction,
        subject: &str,
        details: Option<&Value>,
    ) -> Result<(), StoreError> {
        let actor = actor();
        self.conn()
            .prepare_cached(
                "INSERT INTO audit (who, role, key_id, action, subject, details, request_id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                actor.who,
                actor.role.map(Role::as_str),
                actor.key_id.as_ref().map(KeyId::as_str),
                action.as_str(),
                subject,
                details.map(Value::to_string),
                actor.request_id,
            ])?;
        Ok(())
    }
}
