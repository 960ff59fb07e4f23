//! Sessions of the console, and the link of a first start.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::keys::{COLUMNS, holding, key};
use super::records::{Holder, KeyRecord, KeyRefusal, SignedIn};
use super::{AccessStore, text_of};
use crate::domain::{Role, TenantName};
use crate::store::StoreError;
use crate::store::secrets::{digest, secret};

/// Hours for which someone stays signed in: a working day.
pub const SESSION_HOURS: i64 = 12;
/// Hours for which the first start's link may be followed.
const LINK_HOURS: i64 = 1;

impl AccessStore {
    /// Begins a session with a key; it ends with the key, or after [`SESSION_HOURS`].
    ///
    /// # Errors
    /// Those of the database.
    pub fn sign_in(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Result<SignedIn, KeyRefusal>, StoreError> {
        match self.check_key(text, now)? {
            Ok(key) => Ok(Ok(self.begin(Some(&key), now)?)),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Makes the token of a link that signs in as an operator of the default tenant, once, within an
    /// hour.
    ///
    /// # Errors
    /// Those of the database.
    pub fn create_link(&self, now: Timestamp) -> Result<String, StoreError> {
        let token = secret()?;
        self.connections.write(|w| {
            w.conn().execute(
                "INSERT INTO links (digest, expires_at) VALUES (?1, ?2)",
                params![digest(&token), text_of(later(now, LINK_HOURS))],
            )?;
            Ok(())
        })?;
        Ok(token)
    }

    /// Begins a session with a link's token, and ends the link.
    ///
    /// # Errors
    /// Those of the database.
    pub fn follow_link(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<SignedIn, KeyRefusal>, StoreError> {
        let is_good = self.connections.write(|w| {
            let n_used = w.conn().execute(
                "UPDATE links SET used_at = ?2
                 WHERE digest = ?1 AND used_at IS NULL AND expires_at > ?2",
                params![digest(token), text_of(now)],
            )?;
            Ok(n_used == 1)
        })?;
        if is_good {
            Ok(Ok(self.begin(None, now)?))
        } else {
            Ok(Err(KeyRefusal::SessionOver))
        }
    }

    /// Who is signed in with this token.
    ///
    /// # Errors
    /// Those of the database.
    pub fn session(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<Holder, KeyRefusal>, StoreError> {
        let found = self.connections.read_one(|conn| {
            conn.prepare_cached(&format!(
                "SELECT s.key_id, {} FROM sessions AS s LEFT JOIN keys AS k ON k.id = s.key_id
                 WHERE s.digest = ?1 AND s.expires_at > ?2",
                columns_of("k")
            ))?
            .query_row(params![digest(token), text_of(now)], |row| {
                let by_key: Option<String> = row.get(0)?;
                Ok(by_key.map(|_| key(row, 1)))
            })
            .optional()
            .map_err(StoreError::from)
        })?;
        Ok(match found {
            None => Err(KeyRefusal::SessionOver),
            Some(None) => Ok(first_operator()),
            Some(Some(key)) => holding(key?, now).map(Holder::from),
        })
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Those of the database.
    pub fn sign_out(&self, token: &str) -> Result<(), StoreError> {
        self.connections.write(|w| {
            w.conn()
                .execute("DELETE FROM sessions WHERE digest = ?1", [digest(token)])?;
            Ok(())
        })
    }

    fn begin(&self, key: Option<&KeyRecord>, now: Timestamp) -> Result<SignedIn, StoreError> {
        let token = secret()?;
        self.connections.write(|w| {
            // Those that are over go when another begins: there is no other work to be done on them.
            w.conn().execute(
                "DELETE FROM sessions WHERE expires_at <= ?1",
                [text_of(now)],
            )?;
            w.conn().execute(
                "INSERT INTO sessions (digest, key_id, expires_at) VALUES (?1, ?2, ?3)",
                params![
                    digest(&token),
                    key.map(|key| key.id.as_str()),
                    text_of(later(now, SESSION_HOURS))
                ],
            )?;
            Ok(())
        })?;
        let holder = key.map_or_else(first_operator, |key| Holder::from(key.clone()));
        Ok(SignedIn { token, holder })
    }
}

/// Whoever came by the first start's link.
fn first_operator() -> Holder {
    Holder {
        tenant: TenantName::default(),
        role: Role::Operator,
        who: "first start".to_owned(),
        key_id: None,
        brands: Vec::new(),
        last_used_at: None,
    }
}

fn columns_of(table: &str) -> String {
    let columns = COLUMNS
        .split(", ")
        .map(|column| format!("{table}.{column}"));
    columns.collect::<Vec<_>>().join(", ")
}

fn later(now: Timestamp, hours: i64) -> Timestamp {
    now.saturating_add(SignedDuration::from_hours(hours))
        .expect("hours are no calendar units")
}
