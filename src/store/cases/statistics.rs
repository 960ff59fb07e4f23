//! Counts over all findings and decisions.

use rusqlite::{Connection, params};

use super::{BrandStatistics, CaseStatistics};
use crate::domain::FindingStatus;
use crate::store::{Store, StoreError, rows};

impl Store {
    /// Counts for an overview, of brands with these names or of all; days before `since`, as
    /// `2026-01-31`, are left out of the counts by day.
    ///
    /// # Errors
    /// Those of the database.
    pub fn case_statistics(
        &self,
        since: &str,
        brands: Option<&[String]>,
    ) -> Result<CaseStatistics, StoreError> {
        let brands = brands.map(rows::list_text);
        let brands = brands.as_deref();
        self.connections.read(|conn| {
            let oldest_open = conn.query_row(
                &format!("SELECT min(created_at) FROM findings WHERE status = ?2 AND {OF_BRANDS}"),
                params![brands, FindingStatus::Open.as_str()],
                |row| row.get(0),
            )?;
            Ok(CaseStatistics {
                n_open: count(conn, brands, FindingStatus::Open)?,
                n_suppressed: count(conn, brands, FindingStatus::Suppressed)?,
                oldest_open,
                n_by_day: by_day(conn, brands, since)?,
                brands: by_brand(conn, brands)?,
            })
        })
    }
}

/// Of the brands in the JSON array `?1`, or of all when it is NULL.
const OF_BRANDS: &str = "(?1 IS NULL OR brand IN (SELECT value FROM json_each(?1)))";

fn count(
    conn: &Connection,
    brands: Option<&str>,
    status: FindingStatus,
) -> Result<u64, StoreError> {
    let n: i64 = conn
        .prepare_cached(&format!(
            "SELECT count(*) FROM findings WHERE status = ?2 AND {OF_BRANDS}"
        ))?
        .query_row(params![brands, status.as_str()], |row| row.get(0))?;
    Ok(n.unsigned_abs())
}

fn by_day(
    conn: &Connection,
    brands: Option<&str>,
    since: &str,
) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT substr(created_at, 1, 10) AS day, count(*) FROM findings
         WHERE created_at >= ?2 AND {OF_BRANDS} GROUP BY day ORDER BY day"
    ))?;
    let days = statement.query_map(params![brands, since], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    Ok(days.collect::<Result<_, _>>()?)
}

fn by_brand(conn: &Connection, brands: Option<&str>) -> Result<Vec<BrandStatistics>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT brand, count(*) FILTER (WHERE status = 'open'),
            count(*) FILTER (WHERE status = 'confirmed'),
            count(*) FILTER (WHERE status = 'rejected'),
            count(*) FILTER (WHERE status = 'unsure')
         FROM findings WHERE {OF_BRANDS} GROUP BY brand ORDER BY 2 DESC, brand"
    ))?;
    let brands = statement.query_map([brands], |row| {
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
