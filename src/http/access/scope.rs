//! The brands that a caller sees: all of the tenant's, or those that an owner's key names.

use std::sync::Arc;

use super::super::problem::{Problem, ProblemKind};
use crate::domain::{Asset, AssetId, Brand, BrandId, FindingId, PictureId};
use crate::engine::Engine;
use crate::store::{FindingRecord, Picture, Store, StoreError};

/// Which brands.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct Scope(Option<Arc<[String]>>);

impl Scope {
    /// Those with these names; all when there are none.
    pub fn of(brands: Vec<String>) -> Self {
        Self((!brands.is_empty()).then(|| brands.into()))
    }

    /// Whether any brand is out of sight.
    pub fn is_bound(&self) -> bool {
        self.0.is_some()
    }

    /// Whether this brand is seen.
    pub fn sees(&self, brand: &str) -> bool {
        let brands = self.0.as_deref();
        brands.is_none_or(|brands| brands.iter().any(|known| known == brand))
    }

    /// The names, as filters take them; `None`: all.
    pub fn brands(&self) -> Option<Vec<String>> {
        self.0.as_deref().map(<[String]>::to_vec)
    }

    /// The tenant's brands that are seen.
    pub fn seen_brands(&self, store: &Store) -> Result<Vec<Brand>, StoreError> {
        let mut brands = store.brands()?;
        brands.retain(|brand| self.sees(&brand.name));
        Ok(brands)
    }

    /// The brand, if it is seen; one out of sight is as if it were not there.
    pub fn brand(&self, engine: &Engine, id: BrandId) -> Result<Brand, Problem> {
        let brand = engine.store().brand(id)?;
        if self.sees(&brand.name) {
            Ok(brand)
        } else {
            let brand = id.0.to_string();
            Err(StoreError::NoSuchBrand { brand }.into())
        }
    }

    /// The asset, if it is seen; one out of sight is as if it were not there.
    pub fn asset(&self, engine: &Engine, id: AssetId) -> Result<Asset, Problem> {
        let asset = engine.store().asset(id)?;
        if self.sees(&asset.draft.brand) {
            Ok(asset)
        } else {
            Err(StoreError::NoSuchAsset { id }.into())
        }
    }

    /// The picture, if its asset is seen.
    pub fn picture(&self, engine: &Engine, id: PictureId) -> Result<Picture, Problem> {
        let picture = engine.store().picture(id)?;
        match engine.store().asset(picture.asset_id) {
            Ok(asset) if self.sees(&asset.draft.brand) => Ok(picture),
            Ok(_) => Err(StoreError::NoSuchPicture { id }.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The finding, if its brand is seen, with nothing in it that tells of others.
    pub fn finding(&self, engine: &Engine, id: FindingId) -> Result<FindingRecord, Problem> {
        let record = engine.store().finding(id)?;
        if self.sees(&record.finding.brand) {
            Ok(self.narrowed(record))
        } else {
            Err(StoreError::NoSuchFinding { id }.into())
        }
    }

    /// The same finding with nothing in it that tells of brands out of sight.
    pub fn narrowed(&self, mut record: FindingRecord) -> FindingRecord {
        if self.is_bound() {
            record.nearest_other = record.nearest_other.filter(|near| self.sees(&near.brand));
            let asset = record.finding.asset_id;
            record
                .earlier_decisions
                .retain(|told| told.asset_id == asset);
        }
        record
    }

    /// Refuses a registration under a brand that is out of sight.
    pub fn check_brand(&self, brand: &str) -> Result<(), Problem> {
        if self.sees(brand) {
            return Ok(());
        }
        Err(Problem::new(
            ProblemKind::NotAllowed,
            format!("this key registers nothing under the brand {brand:?}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brands_are_seen_by_their_whole_name() {
        let all = Scope::of(Vec::new());
        assert!(all.sees("Acme") && !all.is_bound());
        assert_eq!(all.brands(), None);
        let bound = Scope::of(vec!["Acme".to_owned(), "Oatly".to_owned()]);
        assert!(bound.sees("Acme") && bound.sees("Oatly"));
        for other in ["acme", "Acme ", "Acm", ""] {
            assert!(!bound.sees(other), "{other:?}");
        }
        assert!(bound.check_brand("Korvana").is_err());
    }
}
