//! Ids in addresses. What is no id names nothing, so it is answered as an id that nothing has.

use super::problem::{Problem, ProblemKind};
use crate::domain::{AssetId, BrandId, FindingId, PictureId, ScanId};

pub(super) fn asset_id(text: &str) -> Result<AssetId, Problem> {
    id("asset", text, AssetId)
}

pub(super) fn brand_id(text: &str) -> Result<BrandId, Problem> {
    id("brand", text, BrandId)
}

pub(super) fn finding_id(text: &str) -> Result<FindingId, Problem> {
    id("finding", text, FindingId)
}

pub(super) fn picture_id(text: &str) -> Result<PictureId, Problem> {
    id("picture", text, PictureId)
}

pub(super) fn scan_id(text: &str) -> Result<ScanId, Problem> {
    id("scan", text, ScanId)
}

fn id<T>(what: &str, text: &str, of: fn(i64) -> T) -> Result<T, Problem> {
    let number = text.parse().ok().filter(|&number: &i64| number > 0);
    number
        .map(of)
        .ok_or_else(|| Problem::new(ProblemKind::NotFound, format!("no {what} has id {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positive_numbers_are_ids() {
        assert_eq!(finding_id("7").expect("an id"), FindingId(7));
        for text in ["", "0", "-1", "7.0", "seven", "99999999999999999999"] {
            let problem = finding_id(text).expect_err(text);
            assert_eq!(problem.kind.status(), 404);
            assert!(problem.detail.contains("no finding"));
        }
    }
}
