//! Counts over all findings and decisions.

use rusqlite::Connection;

use super::{BrandStatistics, CaseStatistics};
use crate::domain::FindingStatus;
use crate::store::{Store, StoreError};

impl Store {
    /// Counts for an overview; days before `since`, as `2026-01-31`, are left out of the counts by day.
    ///
    /// # Errors
    /// Those of the database.
    pub fn case_statistics(&self, since: &str) -> Result<CaseStatistics, StoreError> {
        self.connections.read(|conn| {
            let oldest_open = conn.query_row(
                "SELECT min(created_at) FROM findings WHERE status = ?1",
                [FindingStatus::Open.as_str()],
                |row| row.get(0),
            )?;
            Ok(CaseStatistics {
                n_open: count(conn, FindingStatus::Open)?,
                n_suppressed: count(conn, FindingStatus::Suppressed)?,
                oldest_open,
                n_by_day: by_day(conn, since)?,
                brands: by_brand(conn)?,
            })
        })
    }
}

fn count(conn: &Connection, status: FindingStatus) -> Result<u64, StoreError> {
    let n: i64 = conn
        .prepare_cached("SELECT count(*) FROM findings WHERE status = ?1")?
        .query_row([status.as_str()], |row| row.get(0))?;
    Ok(n.unsigned_abs())
}

fn by_day(conn: &Connection, since: &str) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT substr(created_at, 1, 10) AS day, count(*) FROM findings
         WHERE created_at >= ?1 GROUP BY day ORDER BY day",
    )?;
    let days = statement.query_map([since], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    Ok(days.collect::<Result<_, _>>()?)
}

fn by_brand(conn: &Connection) -> Result<Vec<BrandStatistics>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT brand, count(*) FILTER (WHERE status = 'open'),
            count(*) FILTER (WHERE status = 'confirmed'),
            count(*) FILTER (WHERE status = 'rejected'),
            count(*) FILTER (WHERE status = 'unsure')
         FROM findings GROUP BY brand ORDER BY 2 DESC, brand",
    )?;
    let brands = statement.query_map([], |row| {
        let n = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
        Ok(BrandStatistics {
            brand: row.get(0)?,
            n_open: n(1)?,
            n_confirmed: n(2)?,
            n_rejected: n(3)?,
            n_unsure: n(4)?,
        })
    })?;
    Ok(brands.collect::<Result<_, _>>()?)
}
