//! Flags about fetching → a fetcher.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::args::FetchArguments;
use crate::fetch::{FetchLimits, FetchPolicy, Fetcher, HostPattern, SystemResolver};

/// A fetcher of photos within what the flags allow, for photos of at most `max_bytes`.
pub(super) fn fetcher(arguments: &FetchArguments, max_bytes: usize) -> anyhow::Result<Fetcher> {
    build(arguments, arguments.fetch_only.clone(), max_bytes)
}

/// What tells webhooks: it may reach what photos may be fetched from, and is not kept to certain hosts, since
/// operators name the receivers.
pub(super) fn teller(arguments: &FetchArguments) -> anyhow::Result<Fetcher> {
    build(arguments, Vec::new(), 0)
}

fn build(
    arguments: &FetchArguments,
    only: Vec<HostPattern>,
    max_bytes: usize,
) -> anyhow::Result<Fetcher> {
    let limits = FetchLimits::default();
    let policy = FetchPolicy {
        only,
        allow: arguments.fetch_allow.clone(),
        limits: FetchLimits {
            max_bytes: limits.max_bytes.min(max_bytes),
            ..limits
        },
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
