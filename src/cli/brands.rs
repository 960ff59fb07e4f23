//! `touchstone brands`

use std::io::{self, Write};

use serde_json::json;

use super::args::{BrandsAction, BrandsCommand, Precision};
use super::{Outcome, print_json};
use crate::config::Settings;
use crate::domain::percent;
use crate::engine::{BrandTeaching, brand_teaching};
use crate::matching::teaching::shifted;
use crate::report::promise_words;
use crate::store::Store;

pub(super) fn run(settings: &Settings, command: BrandsCommand) -> anyhow::Result<Outcome> {
    let store = Store::open(&settings.engine.home)?;
    match command.action {
        BrandsAction::List { json } => list(&store, json)?,
        BrandsAction::Promise {
            brand,
            precision: Precision(precision),
        } => {
            store.set_promise(&brand, precision)?;
            eprintln!("{}", standing(&brand_teaching(&store, &brand, precision)?));
        }
    }
    Ok(Outcome::Done)
}

fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let promises = store.promises()?;
    let mut rows = Vec::new();
    for brand in store.brands()? {
        let promised = promises.get(&brand.name).copied();
        let taught = brand_teaching(store, &brand.name, promised)?;
        rows.push((brand, taught));
    }
    if as_json {
        let rows = rows.iter().map(|(brand, taught)| {
            json!({
                "id": brand.id, "name": brand.name, "n_assets": brand.n_assets,
                "teaching": taught,
            })
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let mut out = io::stdout().lock();
    for (brand, taught) in rows {
        let (id, name) = (brand.id.0, &brand.name);
        writeln!(out, "{id:>6}  {name}, {} assets", brand.n_assets)?;
        writeln!(
            out,
            "        {} decided, {} confirmed; what would be 90 % is {}",
            taught.n_decided,
            taught.n_confirmed,
            percent(shifted(0.9, taught.bias))
        )?;
        writeln!(out, "        {}", standing(&taught))?;
    }
    Ok(())
}

/// What comes of a brand's promise, in words.
fn standing(taught: &BrandTeaching) -> String {
    match taught.promise.zip(taught.grounds) {
        None => "no promise: the thresholds of all brands hold".to_owned(),
        Some((promise, grounds)) => format!(
            "promised that {} are right: {}",
            percent(promise.precision),
            promise_words(&promise, &grounds)
        ),
    }
}
