//! Flags about fetching → a fetcher.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::args::FetchArguments;
use crate::fetch::{FetchLimits, FetchPolicy, Fetcher, StoreAddress, SystemResolver};

/// A fetcher of photos within what the flags allow, for photos of at most `max_bytes`, also from the store of
/// `source`, if it lies in one; `None` when nothing may be fetched.
pub(super) fn fetcher(
    arguments: &FetchArguments,
    source: Option<StoreAddress>,
    max_bytes: usize,
) -> anyhow::Result<Option<Fetcher>> {
    let mut stores = arguments.fetch_store.clone();
    stores.extend(source.map(|source| source.store()));
    if stores.is_empty() && !arguments.fetch_urls {
        return Ok(None);
    }
    let policy = FetchPolicy {
        only: arguments.fetch_only.clone(),
        stores,
        stores_only: !arguments.fetch_urls,
        ..FetchPolicy::default()
    };
    let fetcher = build(arguments, policy, max_bytes)?;
    fetcher.check_stores()?;
    Ok(Some(fetcher))
}

/// What tells webhooks: it may reach what photos may be fetched from, and is not kept to certain hosts, since
/// operators name the receivers.
pub(super) fn teller(arguments: &FetchArguments) -> anyhow::Result<Fetcher> {
    build(arguments, FetchPolicy::default(), 0)
}

fn build(
    arguments: &FetchArguments,
    policy: FetchPolicy,
    max_bytes: usize,
) -> anyhow::Result<Fetcher> {
    let limits = FetchLimits::default();
    let policy = FetchPolicy {
        allow: arguments.fetch_allow.clone(),
        limits: FetchLimits {
            max_bytes: limits.max_bytes.min(max_bytes),
            ..limits
        },
        ..policy
    };
    let authorities = authorities(arguments.fetch_ca.as_deref())?;
    Ok(Fetcher::with(
        policy,
        Arc::new(SystemResolver),
        &authorities,
    ))
}

fn authorities(file: Option<&Path>) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let Some(path) = file else {
        return Ok(Vec::new());
    };
    let reading = || format!("reading certificates from {}", path.display());
    let found = CertificateDer::pem_file_iter(path).with_context(reading)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().with_context(reading)?;
    ensure!(
        !found.is_empty(),
        "{}: no certificate in it",
        path.display()
    );
    Ok(found)
}
