//! The registry: a grid of assets, one asset with its pictures, switching on and off, removing.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Redirect;
use jiff::Zoned;
use jiff::civil::Date;
use serde::Deserialize;

use super::super::access::{BrandScope, Caller};
use super::super::ids::asset_id;
use super::super::paging::{cut, with_one_more};
use super::super::problem::{Problem, ProblemKind};
use super::super::workers::Lane;
use super::page::{Page, Shell};
use crate::domain::{Asset, AssetId, AssetKind, Brand, PictureId};
use crate::engine::Engine;
use crate::store::{AssetFilter, Picture};

/// Assets on a page: a few screens of pictures.
const PAGE: u32 = 60;
/// Similar assets that a page warns of.
const MAX_SIMILAR: usize = 6;

/// What a page says of an action that led to it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    done: String,
    /// Pictures that were given and known already.
    known: usize,
    /// Assets registered at once.
    n: usize,
    /// Ids of assets that look alike, separated by commas.
    like: String,
}

impl Outcome {
    fn sentence(&self) -> Option<String> {
        Some(match self.done.as_str() {
            "registered" => "Registered. It is found in photos from now on.".to_owned(),
            "registered-many" => format!("{} assets registered.", self.n),
            "added" => "Pictures added.".to_owned(),
            "known" => "Nothing new: the asset had these pictures already.".to_owned(),
            "enabled" => "Switched on: photos are compared with it again.".to_owned(),
            "disabled" => "Switched off: it is kept, but no photo is compared with it.".to_owned(),
            "removed" => "Removed, with its pictures.".to_owned(),
            "picture-removed" => "Picture removed.".to_owned(),
            _ => return None,
        })
    }

    fn similar(&self) -> impl Iterator<Item = AssetId> {
        let ids = self.like.split(',').filter_map(|id| id.parse().ok());
        ids.map(AssetId).take(MAX_SIMILAR)
    }
}

/// Filters as the form sends them: a field left alone is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AssetQuery {
    brand: String,
    kind: String,
    state: String,
    name: String,
    after: Option<AssetId>,
}

impl AssetQuery {
    fn filter(&self, scope: &BrandScope) -> AssetFilter {
        let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        AssetFilter {
            brand: given(&self.brand),
            brands: scope.brands(),
            kind: self.kind.parse::<AssetKind>().ok(),
            enabled: match self.state.as_str() {
                "on" => Some(true),
                "off" => Some(false),
                _ => None,
            },
            name_contains: given(&self.name),
            after: self.after,
            limit: Some(with_one_more(PAGE)),
        }
    }
}

/// An asset in the grid.
struct Tile {
    asset: Asset,
    picture: Option<PictureId>,
    /// Why photos are not compared with it; empty when they are.
    inactive: &'static str,
}

impl Tile {
    fn of(engine: &Engine, asset: Asset, today: Date) -> Result<Self, Problem> {
        let pictures = engine.store().pictures_of(asset.id)?;
        Ok(Self {
            picture: pictures.first().map(|picture| picture.id),
            inactive: inactive_words(&asset, today),
            asset,
        })
    }
}

fn inactive_words(asset: &Asset, today: Date) -> &'static str {
    if !asset.enabled {
        "off"
    } else if asset.draft.valid_from.is_some_and(|from| today < from) {
        "not valid yet"
    } else if asset.draft.valid_until.is_some_and(|until| until < today) {
        "expired"
    } else if asset.n_pictures == 0 {
        "no picture"
    } else {
        ""
    }
}

#[derive(Template)]
#[template(path = "assets.html")]
struct AssetsPage {
    shell: Shell,
    query: AssetQuery,
    outcome: Option<String>,
    brands: Vec<Brand>,
    n_assets: u64,
    tiles: Vec<Tile>,
    /// What the next page's address has as `after`, if there is one.
    next: Option<AssetId>,
}

/// `GET /assets`: those that pass the filters, oldest first.
pub(super) async fn list(
    caller: Caller,
    Query(query): Query<AssetQuery>,
    Query(outcome): Query<Outcome>,
) -> Result<Page, Problem> {
    let asking = caller.clone();
    let look = move |engine: &Engine| assets_page(engine, &asking, query, &outcome);
    Page::of(&caller.run(Lane::Reads, look).await?)
}

fn assets_page(
    engine: &Engine,
    caller: &Caller,
    query: AssetQuery,
    outcome: &Outcome,
) -> Result<AssetsPage, Problem> {
    let mut assets = engine.store().assets(&query.filter(&caller.scope))?;
    let next = cut(&mut assets, PAGE, |last| last.id);
    let brands = caller.scope.seen_brands(engine.store())?;
    let today = Zoned::now().date();
    Ok(AssetsPage {
        shell: Shell::new(caller, "assets", "Assets"),
        outcome: outcome.sentence(),
        n_assets: brands.iter().map(|brand| brand.n_assets).sum(),
        brands,
        next,
        tiles: assets
            .into_iter()
            .map(|asset| Tile::of(engine, asset, today))
            .collect::<Result<_, _>>()?,
        query,
    })
}

#[derive(Template)]
#[template(path = "asset.html")]
struct AssetPage {
    shell: Shell,
    outcome: Option<String>,
    known: usize,
    similar: Vec<Tile>,
    inactive: &'static str,
    asset: Asset,
    pictures: Vec<Picture>,
}

/// `GET /assets/{id}`.
pub(super) async fn show(
    caller: Caller,
    Path(id): Path<String>,
    Query(outcome): Query<Outcome>,
) -> Result<Page, Problem> {
    let id = asset_id(&id)?;
    let asking = caller.clone();
    let look = move |engine: &Engine| asset_page(engine, &asking, id, &outcome);
    Page::of(&caller.run(Lane::Reads, look).await?)
}

fn asset_page(
    engine: &Engine,
    caller: &Caller,
    id: AssetId,
    outcome: &Outcome,
) -> Result<AssetPage, Problem> {
    let asset = caller.scope.asset(engine, id)?;
    let today = Zoned::now().date();
    // One that was removed since is no longer worth a warning.
    let similar = outcome
        .similar()
        .filter_map(|id| caller.scope.asset(engine, id).ok())
        .map(|asset| Tile::of(engine, asset, today))
        .collect::<Result<_, _>>()?;
    Ok(AssetPage {
        shell: Shell::new(
            caller,
            "assets",
            format!("{}, {}", asset.draft.name, asset.draft.brand),
        ),
        outcome: outcome.sentence(),
        known: outcome.known,
        similar,
        inactive: inactive_words(&asset, today),
        pictures: engine.store().pictures_of(id)?,
        asset,
    })
}

/// `POST /assets/{id}/enable`, `disable`, `remove`: at once.
pub(super) async fn change(
    caller: Caller,
    Path((id, change)): Path<(String, String)>,
) -> Result<Redirect, Problem> {
    let (id, scope) = (asset_id(&id)?, caller.scope.clone());
    let write = caller.run(Lane::Writes, move |engine| {
        let store = engine.store();
        scope.asset(engine, id)?;
        let to = match change.as_str() {
            "enable" => {
                store.set_enabled(id, true)?;
                format!("/assets/{id}?done=enabled")
            }
            "disable" => {
                store.set_enabled(id, false)?;
                format!("/assets/{id}?done=disabled")
            }
            "remove" => {
                store.remove_asset(id)?;
                "/assets?done=removed".to_owned()
            }
            _ => {
                let detail = format!("an asset cannot be changed by {change:?}");
                return Err(Problem::new(ProblemKind::NotFound, detail));
            }
        };
        engine.refresh()?;
        Ok(to)
    });
    Ok(Redirect::to(&write.await?))
}
