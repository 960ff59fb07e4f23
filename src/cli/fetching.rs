//! Flags about fetching → a fetcher.

use std::sync::Arc;

use anyhow::Context;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::args::FetchArguments;
use crate::fetch::{FetchLimits, FetchPolicy, Fetcher, SystemResolver};

/// A fetcher within what the flags allow, for photos of at most `max_bytes`.
pub(super) fn fetcher(arguments: &FetchArguments, max_bytes: usize) -> anyhow::Result<Fetcher> {
    let limits = FetchLimits::default();
    let policy = FetchPolicy {
        only: arguments.fetch_only.clone(),
        allow: arguments.fetch_allow.clone(),
        limits: FetchLimits {
            max_bytes: limits.max_bytes.min(max_bytes),
            ..limits
        },
    };
    let authorities = match &arguments.fetch_ca {
        None => Vec::new(),
        Some(path) => {
            let reading = || format!("reading certificates from {}", path.display());
            let found = CertificateDer::pem_file_iter(path).with_context(reading)?;
            let found: Vec<_> = found.collect::<Result<_, _>>().with_context(reading)?;
            anyhow::ensure!(
                !found.is_empty(),
                "{}: no certificate in it",
                path.display()
            );
            found
        }
    };
    Ok(Fetcher::with(
        policy,
        Arc::new(SystemResolver),
        &authorities,
    ))
}
