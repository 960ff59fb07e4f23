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
    /// The other assets of the bundle, most probable first.
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
    let measured = |judged: &Judged| {
        let asset_id = id_of(judged.finding.asset_id)?;
        Some(Measured {
            finding: Finding {
                asset_id,
                ..judged.finding.clone()
            },
            log_odds: judged.log_odds,
        })
    };
    // Both are in the order of the judgement, as the answer is.
    let judged = &examination.judgement.judged;
    let outcome = Outcome {
        photo_size: verdict.photo_size,
        verdict: verdict.verdict,
        findings: judged
            .iter()
            .filter(is_found)
            .filter_map(measured)
            .collect(),
        compared: judged
            .iter()
            .filter(|j| !is_found(j))
            .filter_map(measured)
            .collect(),
    };
    let mut text = serde_json::to_vec_pretty(&outcome)?;
    text.push(b'\n');
    Ok(text)
}
