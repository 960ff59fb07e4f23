//! An engine of parts made in memory, for tests.

use std::path::Path;

use super::{Background, Engine, EngineError, EngineSettings, Stages};
use crate::embed::Embedder;
use crate::matching::judge::Judge;
use crate::matching::policy::Policy;
use crate::store::Store;

/// An engine with one thread, the usual policy, no reader of words and no background; no file of its
/// settings exists but what the caller writes to `home`.
///
/// # Errors
/// As [`Engine::assemble`].
pub fn engine(
    home: &Path,
    stages: Stages,
    judge: Judge,
    embedder: Box<dyn Embedder>,
    store: Store,
) -> Result<Engine, EngineError> {
    let settings = EngineSettings {
        home: home.to_owned(),
        models: home.to_owned(),
        model_card: home.join("none.toml"),
        judge: home.join("judge.json"),
        n_threads: 1,
        policy: Policy::default(),
        stages,
    };
    Engine::assemble(settings, embedder, None, Background::none(), judge, store)
}
