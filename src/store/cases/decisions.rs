//! What people say of findings. Nothing is ever deleted from the history: taking a decision back is an
//! entry of its own.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

use super::sightings::precedent;
use super::{Decision, DecisionScope, NewDecision, teaching};
use crate::domain::{AssetId, AuditAction, DecisionId, FindingId, FindingStatus, Opinion, PhotoId};
use crate::store::webhooks::events;
use crate::store::{Store, StoreError, rows};

/// Columns of [`decision`], in its order, of the table as `d`.
pub(super) const DECISION_COLUMNS: &str =
    "d.id, d.finding_id, d.opinion, d.undoes, d.reason, d.decided_by, d.created_at";

impl Store {
    /// Writes a decision on a finding, or also on all undecided ones of its asset on nearly the same
    /// photo. A further decision takes the place of the one before. A rejection spares people the
    /// undecided rest of the cluster. Gives the findings that were decided on.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFinding`], and those of the database.
    pub fn decide(
        &self,
        id: FindingId,
        decision: &NewDecision,
        scope: DecisionScope,
    ) -> Result<Vec<FindingId>, StoreError> {
        self.connections.write(|w| {
            let conn = w.conn();
            let (cluster, asset) = place_of(conn, id)?;
            let mut ids = vec![id];
            if scope == DecisionScope::Cluster {
                ids.extend(
                    undecided(conn, cluster, asset)?
                        .into_iter()
                        .filter(|&i| i != id),
                );
            }
            let batch = next_batch(conn)?;
            for &id in &ids {
                conn.prepare_cached(
                    "INSERT INTO decisions (finding_id, opinion, reason, decided_by, batch)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    id.0,
                    decision.opinion.as_str(),
                    decision.reason,
                    decision.decided_by,
                    batch
                ])?;
                take_over(conn, id)?;
            }
            settle(conn, cluster, asset)?;
            teaching::forget_unconfirmed(w, &ids)?;
            for &id in &ids {
                let (opinion, reason) = (Some(decision.opinion), decision.reason.as_deref());
                events::finding_decided(conn, id, opinion, reason, &decision.decided_by)?;
            }
            let details = json!({
                "decision": decision.opinion, "reason": decision.reason,
                "decided_by": decision.decided_by, "findings": ids,
            });
            let subject = format!("finding {}", id.0);
            w.audit(AuditAction::Decided, &subject, Some(&details))?;
            Ok(ids)
        })
    }

    /// Takes back the decision that holds of a finding, or also all that were made together with it;
    /// what was said before holds again. Gives the findings concerned.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFinding`], [`StoreError::NothingToUndo`], and those of the database.
    pub fn undo(
        &self,
        id: FindingId,
        decided_by: &str,
        scope: DecisionScope,
    ) -> Result<Vec<FindingId>, StoreError> {
        self.connections.write(|w| {
            let conn = w.conn();
            let (cluster, asset) = place_of(conn, id)?;
            let holding = holding(conn, id, scope)?;
            if holding.is_empty() {
                return Err(StoreError::NothingToUndo { id });
            }
            let batch = next_batch(conn)?;
            for (decision, finding) in &holding {
                conn.prepare_cached(
                    "INSERT INTO decisions (finding_id, undoes, decided_by, batch)
                     VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![finding.0, decision.0, decided_by, batch])?;
                take_over(conn, *finding)?;
            }
            settle(conn, cluster, asset)?;
            let ids: Vec<_> = holding.into_iter().map(|(_, finding)| finding).collect();
            teaching::forget_unconfirmed(w, &ids)?;
            for &id in &ids {
                events::finding_decided(conn, id, None, None, decided_by)?;
            }
            let details = json!({ "decided_by": decided_by, "findings": ids });
            let subject = format!("finding {}", id.0);
            w.audit(AuditAction::DecisionUndone, &subject, Some(&details))?;
            Ok(ids)
        })
    }

    /// Everything that was said of a finding, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFinding`], and those of the database.
    pub fn decisions_of(&self, id: FindingId) -> Result<Vec<Decision>, StoreError> {
        self.connections.read(|conn| {
            place_of(conn, id)?;
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {DECISION_COLUMNS} FROM decisions AS d WHERE finding_id = ?1 ORDER BY id"
            ))?;
            let mut found = statement.query([id.0])?;
            let mut decisions = Vec::new();
            while let Some(row) = found.next()? {
                decisions.push(decision(row, 0)?);
            }
            Ok(decisions)
        })
    }
}

/// Reads [`DECISION_COLUMNS`] that begin at column `first`.
pub(super) fn decision(row: &Row<'_>, first: usize) -> Result<Decision, StoreError> {
    let id: i64 = row.get(first)?;
    let opinion: Option<String> = row.get(first + 2)?;
    let opinion = match opinion {
        Some(word) => Some(
            Opinion::of_word(&word)
                .ok_or_else(|| rows::bad_row("decisions", id, format!("opinion {word:?}")))?,
        ),
        None => None,
    };
    Ok(Decision {
        id: DecisionId(id),
        finding_id: FindingId(row.get(first + 1)?),
        decision: opinion,
        undoes: row.get::<_, Option<i64>>(first + 3)?.map(DecisionId),
        reason: row.get(first + 4)?,
        decided_by: row.get(first + 5)?,
        created_at: row.get(first + 6)?,
    })
}

fn place_of(conn: &Connection, id: FindingId) -> Result<(PhotoId, AssetId), StoreError> {
    conn.prepare_cached("SELECT cluster_id, asset_id FROM findings WHERE id = ?1")?
        .query_row([id.0], |row| {
            Ok((PhotoId(row.get(0)?), AssetId(row.get(1)?)))
        })
        .optional()?
        .ok_or(StoreError::NoSuchFinding { id })
}

fn undecided(
    conn: &Connection,
    cluster: PhotoId,
    asset: AssetId,
) -> Result<Vec<FindingId>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM findings WHERE cluster_id = ?1 AND asset_id = ?2
            AND decision_id IS NULL AND NOT authorised ORDER BY id",
    )?;
    let ids = statement.query_map([cluster.0, asset.0], |row| row.get(0).map(FindingId))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn next_batch(conn: &Connection) -> Result<i64, StoreError> {
    Ok(conn
        .prepare_cached("SELECT ifnull(max(batch), 0) + 1 FROM decisions")?
        .query_row([], |row| row.get(0))?)
}

/// The decision that holds of a finding, with the others of its batch that still hold.
fn holding(
    conn: &Connection,
    id: FindingId,
    scope: DecisionScope,
) -> Result<Vec<(DecisionId, FindingId)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT d.id, d.finding_id FROM findings AS f JOIN decisions AS d ON d.id = f.decision_id
         WHERE f.id = ?1 OR (?2 AND d.batch = (
            SELECT batch FROM decisions WHERE id = (
                SELECT decision_id FROM findings WHERE id = ?1)))
         ORDER BY d.id",
    )?;
    let wants_batch = scope == DecisionScope::Cluster;
    let found = statement.query_map(params![id.0, wants_batch], |row| {
        Ok((DecisionId(row.get(0)?), FindingId(row.get(1)?)))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Lets the latest decision hold that was not taken back.
fn take_over(conn: &Connection, id: FindingId) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE findings SET updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), decision_id = (
            SELECT max(d.id) FROM decisions AS d WHERE d.finding_id = ?1 AND d.opinion IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM decisions AS u WHERE u.undoes = d.id))
         WHERE id = ?1",
    )?
    .execute([id.0])?;
    Ok(())
}

/// Works out anew where all findings of an asset in a cluster stand, and how they rank: what a
/// decision on one of them, or a further sighting, means for the others.
pub(super) fn settle(
    conn: &Connection,
    cluster: PhotoId,
    asset: AssetId,
) -> Result<(), StoreError> {
    let rejection = precedent(conn, cluster, asset)?
        .filter(|precedent| precedent.opinion == Opinion::Rejected)
        .map(|precedent| precedent.decision.0);
    conn.prepare_cached(
        "UPDATE findings SET
            suppressed_by = CASE WHEN decision_id IS NULL AND NOT authorised THEN ?3 END,
            status = CASE
                WHEN decision_id IS NOT NULL
                    THEN (SELECT opinion FROM decisions WHERE id = decision_id)
                WHEN authorised THEN ?4
                WHEN ?3 IS NOT NULL THEN ?5
                ELSE ?6 END
         WHERE cluster_id = ?1 AND asset_id = ?2",
    )?
    .execute(params![
        cluster.0,
        asset.0,
        rejection,
        FindingStatus::Authorised.as_str(),
        FindingStatus::Suppressed.as_str(),
        FindingStatus::Open.as_str(),
    ])?;
    rank(conn, cluster)
}

/// A picture that is in many listings matters more; a hundred listings count about six times as much.
fn rank(conn: &Connection, cluster: PhotoId) -> Result<(), StoreError> {
    let n_sightings: i64 = conn
        .prepare_cached(
            "SELECT count(*) FROM sightings JOIN photos ON photos.id = photo_id
             WHERE cluster_id = ?1",
        )?
        .query_row([cluster.0], |row| row.get(0))?;
    let reach = 1.0 + (n_sightings.max(1) as f64).ln();
    conn.prepare_cached("UPDATE findings SET priority = probability * ?2 WHERE cluster_id = ?1")?
        .execute(params![cluster.0, reach])?;
    Ok(())
}
