//! What was found and measured, as text that is the same when every number is the same to the last bit.

use serde::Serialize;

use crate::domain::{AssetId, Finding, Verdict};
use crate::engine::{Examination, Judged};
use crate::matching::policy::Policy;

/// The form of `result.json`.
#[derive(Serialize)]
struct Outcome {
    photo_size: [u32; 2],
    verdict: Verdict,
    /// As in the answer of `match`, most probable first.
    findings: Vec<Measured>,
    /// The other assets of the bundle, each without regard to what else may be shown in its place, most
    /// probable first.
    compared: Vec<Measured>,
}

#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    finding: Finding,
    log_odds: f64,
}

/// The answer for a photo under `policy`, and what was measured of the assets that `id_of` knows, by
/// the ids that it gives.
pub(super) fn result_json(
    examination: &Examination,
    policy: &Policy,
    id_of: impl Fn(AssetId) -> Option<AssetId>,
) -> Result<Vec<u8>, serde_json::Error> {
    let verdict = examination.verdict(policy);
    let is_found = |judged: &&Judged| {
        let id = judged.finding.asset_id;
        verdict.findings.iter().any(|f| f.asset_id == id)
    };
    let measured = |finding: Finding, log_odds: f64| {
        let asset_id = id_of(finding.asset_id)?;
        let finding = Finding {
            asset_id,
            ..finding
        };
        Some(Measured { finding, log_odds })
    };
    let judged = &examination.judgement.judged;
    let mut compared: Vec<&Judged> = judged.iter().filter(|j| !is_found(j)).collect();
    compared.sort_by(|a, b| {
        let by_odds = b.own_log_odds.total_cmp(&a.own_log_odds);
        by_odds.then(a.finding.asset_id.cmp(&b.finding.asset_id))
    });
    let outcome = Outcome {
        photo_size: verdict.photo_size,
        verdict: verdict.verdict,
        findings: judged
            .iter()
            .filter(is_found)
            .filter_map(|j| measured(j.finding.clone(), j.log_odds))
            .collect(),
        compared: compared
            .into_iter()
            .filter_map(|j| measured(j.own_finding(), j.own_log_odds))
            .collect(),
    };
    let mut text = serde_json::to_vec_pretty(&outcome)?;
    text.push(b'\n');
    Ok(text)
}
