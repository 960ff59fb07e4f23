//! Lists of findings, and all that is known of one.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::decisions::{DECISION_COLUMNS, decision};
use super::{
    EarlierDecision, FindingFilter, FindingOrder, FindingRecord, ListingRef, PhotoRef, Suppression,
};
use crate::domain::{
    AssetId, DecisionId, FileDigest, FindingId, FindingSource, FindingStatus, ModelId, Opinion,
    PhotoId, PictureId, Seller,
};
use crate::store::{Store, StoreError, rows};

/// Decisions on other findings in nearly the same photo that are told with a finding.
const MAX_EARLIER: u32 = 5;

/// Columns of [`finding`] before those of the decision, in its order.
const COLUMNS: &str = "f.id, f.status, f.source, f.priority, f.finding, f.nearest_other, f.model,
    f.judge, f.registry_revision, f.created_at, f.updated_at, f.cluster_id,
    p.sha256, p.width, p.height, s.name,
    EXISTS (SELECT 1 FROM photo_files WHERE photo_id = p.id),
    l.listing_id, l.seller_id, l.seller_name, l.seller_country,
    f.suppressed_by, (SELECT finding_id FROM decisions WHERE id = f.suppressed_by),
    (SELECT count(*) - 1 FROM findings AS g
     WHERE g.cluster_id = f.cluster_id AND g.asset_id = f.asset_id),
    (SELECT id FROM pictures WHERE exemplar_of = f.id)";
const N_COLUMNS: usize = 25;

const TABLES: &str = "findings AS f
    JOIN sightings AS s ON s.id = f.sighting_id
    JOIN photos AS p ON p.id = s.photo_id
    LEFT JOIN listings AS l ON l.id = s.listing
    LEFT JOIN decisions AS d ON d.id = f.decision_id";

impl Store {
    /// The findings that pass the filter, in its order.
    ///
    /// # Errors
    /// Those of the database, [`StoreError::BadRow`] for a row that someone else wrote.
    pub fn findings(&self, filter: &FindingFilter) -> Result<Vec<FindingRecord>, StoreError> {
        let (condition, values) = condition(filter);
        let order = match filter.order {
            FindingOrder::Priority => "f.priority DESC, f.id DESC",
            FindingOrder::Newest => "f.id DESC",
            FindingOrder::Probability => "f.probability DESC, f.id DESC",
        };
        let limit = filter.limit.map_or(-1, i64::from);
        self.connections.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {COLUMNS}, {DECISION_COLUMNS} FROM {TABLES}
                 WHERE {condition} ORDER BY {order} LIMIT {limit}"
            ))?;
            let mut found = statement.query(params_from_iter(&values))?;
            let mut findings = Vec::new();
            while let Some(row) = found.next()? {
                findings.push(finding(conn, row)?);
            }
            Ok(findings)
        })
    }

    /// One finding.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFinding`], and those of the database.
    pub fn finding(&self, id: FindingId) -> Result<FindingRecord, StoreError> {
        self.connections.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS}, {DECISION_COLUMNS} FROM {TABLES} WHERE f.id = ?1"
            ))?
            .query_row([id.0], |row| Ok(finding(conn, row)))
            .optional()?
            .ok_or(StoreError::NoSuchFinding { id })?
        })
    }

    /// The file of the photo that a finding is about; `None` when it was not kept.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFinding`], and those of the database.
    pub fn finding_photo(&self, id: FindingId) -> Result<Option<Vec<u8>>, StoreError> {
        self.connections.read_one(|conn| {
            conn.prepare_cached(
                "SELECT bytes FROM findings AS f JOIN sightings AS s ON s.id = f.sighting_id
                 LEFT JOIN photo_files AS p ON p.photo_id = s.photo_id WHERE f.id = ?1",
            )?
            .query_row([id.0], |row| row.get(0))
            .optional()?
            .ok_or(StoreError::NoSuchFinding { id })
        })
    }
}

/// The WHERE clause of a filter with the values of its `?`.
fn condition(filter: &FindingFilter) -> (String, Vec<Value>) {
    let mut parts = vec!["1"];
    let mut values: Vec<Value> = Vec::new();
    let text = |text: &String| Value::from(text.clone());
    let word = |word: &'static str| Value::from(word.to_owned());
    let facts = [
        ("f.status = ?", filter.status.map(|s| word(s.as_str()))),
        ("f.brand = ?", filter.brand.as_ref().map(text)),
        (
            "f.brand IN (SELECT value FROM json_each(?))",
            filter.brands.as_deref().map(|b| rows::list_text(b).into()),
        ),
        ("f.kind = ?", filter.kind.map(|k| word(k.as_str()))),
        ("f.asset_id = ?", filter.asset.map(|id| id.0.into())),
        (
            "f.probability >= ?",
            filter.min_probability.map(Value::from),
        ),
        ("l.listing_id = ?", filter.listing_id.as_ref().map(text)),
        ("f.cluster_id = ?", filter.cluster.map(|id| id.0.into())),
        ("f.created_at >= ?", filter.since.as_ref().map(text)),
    ];
    for (part, value) in facts {
        if let Some(value) = value {
            parts.push(part);
            values.push(value);
        }
    }
    if let Some(seller) = &filter.seller {
        parts.push("? IN (l.seller_id, l.seller_name)");
        values.push(text(seller));
    }
    if let Some(after) = filter.after {
        match filter.order {
            FindingOrder::Priority => parts.push("(f.priority, f.id) < (?, ?)"),
            FindingOrder::Probability => parts.push("(f.probability, f.id) < (?, ?)"),
            FindingOrder::Newest => parts.push("f.id < ?"),
        }
        if filter.order != FindingOrder::Newest {
            values.push(after.rank.into());
        }
        values.push(after.id.0.into());
    }
    (parts.join(" AND "), values)
}

/// Reads [`COLUMNS`] and the decision behind them.
fn finding(conn: &Connection, row: &Row<'_>) -> Result<FindingRecord, StoreError> {
    let id: i64 = row.get(0)?;
    let bad = |cause: rows::Cause| rows::bad_row("findings", id, cause);
    let word = |column: usize| -> Result<String, StoreError> { Ok(row.get(column)?) };
    let (status, source) = (word(1)?, word(2)?);
    let found: crate::domain::Finding =
        serde_json::from_str(&word(4)?).map_err(|e| bad(e.into()))?;
    let nearest_other: Option<String> = row.get(5)?;
    let nearest_other = nearest_other
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|e| bad(e.into()))?;
    let cluster = PhotoId(row.get(11)?);
    let held: Option<i64> = row.get(N_COLUMNS)?;
    let suppressed_by = match (row.get(21)?, row.get(22)?) {
        (Some(decision), Some(finding)) => Some(Suppression {
            decision_id: DecisionId(decision),
            finding_id: FindingId(finding),
        }),
        _ => None,
    };
    Ok(FindingRecord {
        id: FindingId(id),
        status: FindingStatus::of_word(&status)
            .ok_or_else(|| bad(format!("status {status:?}").into()))?,
        source: FindingSource::of_word(&source)
            .ok_or_else(|| bad(format!("source {source:?}").into()))?,
        priority: row.get(3)?,
        finding: found,
        photo: PhotoRef {
            sha256: FileDigest(row.get(12)?),
            name: row.get(15)?,
            width: row.get(13)?,
            height: row.get(14)?,
            cluster,
            is_kept: row.get(16)?,
        },
        listing: listing(row)?,
        nearest_other,
        decision: held.map(|_| decision(row, N_COLUMNS)).transpose()?,
        suppressed_by,
        earlier_decisions: earlier(conn, FindingId(id), cluster)?,
        exemplar: row.get::<_, Option<_>>(24)?.map(PictureId),
        n_repeats: row.get::<_, i64>(23)?.unsigned_abs(),
        model: ModelId(row.get(6)?),
        judge_sha256: row.get::<_, Option<_>>(7)?.map(FileDigest),
        registry_revision: row.get::<_, i64>(8)?.unsigned_abs(),
        created_at: row.get(9)?,
        updated_at: row.get(10)?,
    })
}

fn listing(row: &Row<'_>) -> Result<Option<ListingRef>, StoreError> {
    let Some(listing_id) = row.get(17)? else {
        return Ok(None);
    };
    Ok(Some(ListingRef {
        listing_id,
        seller: seller(row, 18)?,
    }))
}

/// Id, name and country of a seller, from column `first` on.
pub(super) fn seller(row: &Row<'_>, first: usize) -> Result<Option<Seller>, StoreError> {
    let seller = Seller {
        id: row.get(first)?,
        name: row.get(first + 1)?,
        country: row.get(first + 2)?,
        ..Seller::default()
    };
    Ok((seller != Seller::default()).then_some(seller))
}

fn earlier(
    conn: &Connection,
    id: FindingId,
    cluster: PhotoId,
) -> Result<Vec<EarlierDecision>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT f.id, f.asset_id, d.opinion, d.decided_by, d.created_at, d.id
         FROM findings AS f JOIN decisions AS d ON d.id = f.decision_id
         WHERE f.cluster_id = ?1 AND f.id <> ?2 ORDER BY d.id DESC LIMIT ?3",
    )?;
    let mut found = statement.query(params![cluster.0, id.0, MAX_EARLIER])?;
    let mut earlier = Vec::new();
    while let Some(row) = found.next()? {
        let word: String = row.get(2)?;
        let decision = Opinion::of_word(&word).ok_or_else(|| match row.get(5) {
            Ok(id) => rows::bad_row("decisions", id, format!("opinion {word:?}")),
            Err(error) => StoreError::Sqlite(error),
        })?;
        earlier.push(EarlierDecision {
            finding_id: FindingId(row.get(0)?),
            asset_id: AssetId(row.get(1)?),
            decision,
            decided_by: row.get(3)?,
            created_at: row.get(4)?,
        });
    }
    Ok(earlier)
}
