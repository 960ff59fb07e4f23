//! Telling what is to be told: for all tenants, one thing after another to each webhook, so that a receiver
//! that is slow or gone holds up no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::sleep;
use tracing::{error, info};

use super::super::access::Tenants;
use super::super::problem::Problem;
use super::super::telemetry;
use super::super::workers::{Lane, Workers};
use super::attempt::{PATIENCE, attempt};
use crate::domain::{Actor, TenantName, WebhookId};
use crate::engine::Engine;
use crate::fetch::Fetcher;
use crate::store::{ClaimedDelivery, Outcome, Settled, acting_as};

/// How often is looked what is due.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a delivery is nobody else's: the receiver's time and that of the database.
const LEASE_MS: i64 = PATIENCE.as_millis() as i64 + 5_000;
/// Who is named when a webhook is disabled.
const NAME: &str = "webhook delivery";

/// The telling, ended when this is dropped. What was under way is told again, as what it is: receivers know
/// it by its id.
pub(in crate::http) struct Telling(JoinHandle<()>);

impl Telling {
    /// Begins it.
    pub fn start(tenants: Arc<Tenants>, fetcher: Arc<Fetcher>) -> Self {
        Self(tokio::spawn(tell_all(tenants, fetcher)))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A webhook of a tenant.
type Receiver = (TenantName, WebhookId);

async fn tell_all(tenants: Arc<Tenants>, fetcher: Arc<Fetcher>) {
    let mut at_work: HashMap<Id, Receiver> = HashMap::new();
    let mut tasks = JoinSet::new();
    // Tenants with something to tell stay open.
    let mut held = all_tenants(&tenants).await;
    loop {
        let mut open: HashMap<_, _> = tenants.open().into_iter().collect();
        open.extend(held.drain(..));
        for (tenant, workers) in open {
            let Some((n_waiting, due)) = waiting(&tenant, &workers).await else {
                continue;
            };
            for webhook in due {
                let receiver = (tenant.clone(), webhook);
                if !at_work.values().any(|busy| *busy == receiver) {
                    let (workers, fetcher) = (Arc::clone(&workers), Arc::clone(&fetcher));
                    let task = tasks.spawn(tell(receiver.clone(), workers, fetcher));
                    at_work.insert(task.id(), receiver);
                }
            }
            if n_waiting > 0 {
                held.push((tenant, workers));
            }
        }
        sleep(PAUSE).await;
        while let Some(done) = tasks.try_join_next_with_id() {
            let id = match done {
                Ok((id, ())) => id,
                Err(error) => {
                    error!(%error, "telling ended in a panic");
                    error.id()
                }
            };
            at_work.remove(&id);
        }
    }
}

/// How many webhooks of a tenant are to be told something, and which of them now.
async fn waiting(tenant: &TenantName, workers: &Workers) -> Option<(usize, Vec<WebhookId>)> {
    let read = workers.run(Lane::Reads, |engine| {
        Ok(engine.store().webhooks_waiting()?)
    });
    let waiting = read.await;
    waiting.map_err(|problem| log(tenant, &problem)).ok()
}

/// All tenants there are: what was to be told when a server was stopped is told by the next one, whether its
/// tenant is in use or not.
async fn all_tenants(tenants: &Arc<Tenants>) -> Vec<(TenantName, Arc<Workers>)> {
    let mut all = Vec::new();
    for name in tenants.names() {
        match tenants.workers(&name).await {
            Ok(workers) => all.push((name, workers)),
            Err(problem) => log(&name, &problem),
        }
    }
    all
}

/// Tells one receiver all that is due, in the order in which it happened.
async fn tell(receiver: Receiver, workers: Arc<Workers>, fetcher: Arc<Fetcher>) {
    loop {
        let webhook = receiver.1.clone();
        let claim = move |engine: &Engine| Ok(engine.store().claim_delivery(&webhook, LEASE_MS)?);
        let told = match workers.run(Lane::Writes, claim).await {
            Ok(None) => return,
            Ok(Some(delivery)) => {
                let (outcome, settled) = attempt(&fetcher, &delivery).await;
                note(&receiver, &outcome);
                settle(&workers, delivery, outcome, settled).await
            }
            Err(problem) => Err(problem),
        };
        if let Err(problem) = told {
            return log(&receiver.0, &problem);
        }
    }
}

async fn settle(
    workers: &Workers,
    delivery: ClaimedDelivery,
    outcome: Outcome,
    settled: Settled,
) -> Result<(), Problem> {
    let write = move |engine: &Engine| {
        acting_as(Actor::named(NAME), || {
            Ok(engine
                .store()
                .settle_delivery(delivery.id, &outcome, &settled)?)
        })
    };
    workers.run(Lane::Writes, write).await
}

fn note((tenant, webhook): &Receiver, outcome: &Outcome) {
    telemetry::note_webhook(outcome.error.is_none());
    if let Some(error) = &outcome.error {
        info!(%tenant, %webhook, error, "a receiver did not take what it was told");
    }
}

fn log(tenant: &TenantName, problem: &Problem) {
    error!(%tenant, ?problem, "webhooks are not told; they are tried again");
}
