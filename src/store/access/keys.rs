//! Making keys, knowing them again, taking them back.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::records::{IssuedKey, KeyRecord, KeyRefusal, KeyStanding, NewKey};
use super::{AccessStore, text_of};
use crate::domain::{AccessWordError, KeyId, Role, TenantName};
use crate::store::secrets::{digest, is_same, random, secret};
use crate::store::{StoreError, rows};

/// Columns of [`key`], in its order.
pub(super) const COLUMNS: &str = "id, tenant, role, label, brands, created_at, expires_at, \
    last_used_at, revoked_at";
/// Longest label, characters.
const MAX_LABEL_CHARS: usize = 200;
/// Most brands that a key is bound to.
const MAX_BRANDS: usize = 1000;

impl AccessStore {
    /// Makes a key, after `before` has run with what will be kept of it: what `before` refuses is not
    /// made.
    ///
    /// # Errors
    /// [`StoreError::BadKey`] for one that cannot be, what `before` gives, and those of the database.
    pub fn create_key(
        &self,
        new: NewKey,
        now: Timestamp,
        before: impl FnOnce(&KeyRecord) -> Result<(), StoreError>,
    ) -> Result<IssuedKey, StoreError> {
        let record = record(new, now)?;
        let secret = secret()?;
        before(&record)?;
        self.connections.write(|w| {
            w.conn().execute(
                "INSERT INTO keys
                    (id, digest, tenant, role, label, brands, created_at, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    record.id.as_str(),
                    digest(&secret),
                    record.tenant.as_str(),
                    record.role.as_str(),
                    record.label,
                    rows::list_text(&record.brands),
                    record.created_at,
                    record.expires_at,
                ],
            )?;
            Ok(())
        })?;
        let text = format!("ts_{}_{secret}", record.id);
        Ok(IssuedKey { record, text })
    }

    /// The key that reads `text`, if it holds now.
    ///
    /// # Errors
    /// Those of the database.
    pub fn check_key(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Result<KeyRecord, KeyRefusal>, StoreError> {
        let parts = text.strip_prefix("ts_").and_then(|rest| {
            let (id, secret) = rest.split_once('_')?;
            Some((id.parse::<KeyId>().ok()?, secret))
        });
        let Some((id, secret)) = parts else {
            return Ok(Err(KeyRefusal::Unknown));
        };
        let known = self.connections.read_one(|conn| {
            conn.prepare_cached(&format!("SELECT {COLUMNS}, digest FROM keys WHERE id = ?1"))?
                .query_row([id.as_str()], |row| Ok((key(row, 0), row.get(9)?)))
                .optional()
                .map_err(StoreError::from)
        })?;
        let Some((record, kept)) = known else {
            return Ok(Err(KeyRefusal::Unknown));
        };
        let record = record?;
        if !is_same(&digest(secret), &kept) {
            return Ok(Err(KeyRefusal::WrongSecret(Box::new(record))));
        }
        Ok(holding(record, now))
    }

    /// All keys ever made, revoked ones included, oldest first; only of `tenant` if one is given.
    ///
    /// # Errors
    /// Those of the database.
    pub fn keys(&self, tenant: Option<&TenantName>) -> Result<Vec<KeyRecord>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM keys WHERE ?1 IS NULL OR tenant = ?1
                 ORDER BY created_at, id"
            ))?;
            let mut found = statement.query([tenant.map(TenantName::as_str)])?;
            let mut keys = Vec::new();
            while let Some(row) = found.next()? {
                keys.push(key(row, 0)?);
            }
            Ok(keys)
        })
    }

    /// One key.
    ///
    /// # Errors
    /// [`StoreError::NoSuchKey`], and those of the database.
    pub fn key(&self, id: &KeyId) -> Result<KeyRecord, StoreError> {
        self.connections.read_one(|conn| one(conn, id))
    }

    /// Ends a key and every session that it began, at once. One that was revoked stays as it was.
    /// `before` runs first with the key; what it refuses is not done.
    ///
    /// # Errors
    /// [`StoreError::NoSuchKey`], also for another tenant's if one is given; what `before` gives; those
    /// of the database.
    pub fn revoke_key(
        &self,
        id: &KeyId,
        tenant: Option<&TenantName>,
        now: Timestamp,
        before: impl FnOnce(&KeyRecord) -> Result<(), StoreError>,
    ) -> Result<KeyRecord, StoreError> {
        let known = self.key(id)?;
        if tenant.is_some_and(|tenant| known.tenant != *tenant) {
            return Err(StoreError::NoSuchKey { id: id.clone() });
        }
        if known.revoked_at.is_some() {
            return Ok(known);
        }
        before(&known)?;
        self.connections.write(|w| {
            w.conn().execute(
                "UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
                params![id.as_str(), text_of(now)],
            )?;
            w.conn()
                .execute("DELETE FROM sessions WHERE key_id = ?1", [id.as_str()])?;
            one(w.conn(), id)
        })
    }

    /// Notes that a key is in use.
    ///
    /// # Errors
    /// Those of the database.
    pub fn note_use(&self, id: &KeyId, now: Timestamp) -> Result<(), StoreError> {
        self.connections.write(|w| {
            w.conn().execute(
                "UPDATE keys SET last_used_at = ?2 WHERE id = ?1",
                params![id.as_str(), text_of(now)],
            )?;
            Ok(())
        })
    }

    /// Whether any key was ever made here.
    ///
    /// # Errors
    /// Those of the database.
    pub fn has_keys(&self) -> Result<bool, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn.query_row("SELECT EXISTS (SELECT 1 FROM keys)", [], |row| row.get(0))?)
        })
    }
}

fn one(conn: &Connection, id: &KeyId) -> Result<KeyRecord, StoreError> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM keys WHERE id = ?1"))?
        .query_row([id.as_str()], |row| Ok(key(row, 0)))
        .optional()?
        .ok_or_else(|| StoreError::NoSuchKey { id: id.clone() })?
}

/// The key, unless it was revoked or its time is over.
pub(super) fn holding(record: KeyRecord, now: Timestamp) -> Result<KeyRecord, KeyRefusal> {
    match record.standing(now) {
        KeyStanding::Holds => Ok(record),
        KeyStanding::Revoked => Err(KeyRefusal::Revoked(Box::new(record))),
        KeyStanding::Expired => Err(KeyRefusal::Expired(Box::new(record))),
    }
}

fn record(new: NewKey, now: Timestamp) -> Result<KeyRecord, StoreError> {
    let label = new.label.trim().to_owned();
    let n_chars = label.chars().count();
    let mut brands: Vec<String> = Vec::new();
    for brand in new.brands.iter().map(|brand| brand.trim()) {
        if !brand.is_empty() && !brands.iter().any(|known| known == brand) {
            brands.push(brand.to_owned());
        }
    }
    let reason = if n_chars == 0 {
        "a key needs a label that says who holds it".to_owned()
    } else if n_chars > MAX_LABEL_CHARS {
        format!("the label has {n_chars} characters, at most {MAX_LABEL_CHARS} are kept")
    } else if !brands.is_empty() && new.role != Role::Owner {
        format!("only an owner is bound to brands, not a {}", new.role)
    } else if brands.len() > MAX_BRANDS {
        format!("a key is bound to at most {MAX_BRANDS} brands")
    } else if let Some(end) = new.expires_at.filter(|end| *end <= now) {
        format!("the key would end at {}, before it begins", text_of(end))
    } else {
        return Ok(KeyRecord {
            id: KeyId::of_bytes(random()?),
            tenant: new.tenant,
            role: new.role,
            label,
            brands,
            created_at: text_of(now),
            expires_at: new.expires_at.map(text_of),
            last_used_at: None,
            revoked_at: None,
        });
    };
    Err(StoreError::BadKey { reason })
}

/// Reads [`COLUMNS`] that begin at column `first`.
pub(super) fn key(row: &Row<'_>, first: usize) -> Result<KeyRecord, StoreError> {
    let text = |column: usize| row.get::<_, String>(first + column);
    let time = |column: usize| row.get::<_, Option<String>>(first + column);
    let bad = |cause: AccessWordError| rows::bad_row("keys", 0, cause);
    Ok(KeyRecord {
        id: text(0)?.parse().map_err(bad)?,
        tenant: text(1)?.parse().map_err(bad)?,
        role: text(2)?.parse().map_err(bad)?,
        label: text(3)?,
        brands: serde_json::from_str(&text(4)?).map_err(|cause| rows::bad_row("keys", 0, cause))?,
        created_at: text(5)?,
        expires_at: time(6)?,
        last_used_at: time(7)?,
        revoked_at: time(8)?,
    })
}
