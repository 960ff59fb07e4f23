//! `GET /`: where a first-time user starts.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::super::HttpState;
use super::super::problem::Problem;
use super::super::workers::Lane;
use super::page::{Page, Shell};
use crate::engine::Engine;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    n_brands: usize,
    n_assets: u64,
    model: String,
}

pub(super) async fn show(State(state): State<Arc<HttpState>>) -> Result<Page, Problem> {
    let overview = state.workers.run(Lane::Reads, look).await?;
    Page::of(&overview)
}

fn look(engine: &Engine) -> Result<Overview, Problem> {
    let brands = engine.store().brands()?;
    let used = brands.iter().filter(|brand| brand.n_assets > 0);
    Ok(Overview {
        shell: Shell::new("overview", "Overview"),
        n_brands: used.count(),
        n_assets: brands.iter().map(|brand| brand.n_assets).sum(),
        model: engine.model().to_string(),
    })
}
