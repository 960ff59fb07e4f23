//! Flags and environment → checked settings, once, at start.

use std::env;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use thiserror::Error;

use crate::domain::{AccessWordError, TenantName};
use crate::engine::{EngineSettings, Stages};
use crate::matching::policy::{Policy, PolicyError};

/// Why settings cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No folder with networks where it is looked for.
    #[error("the networks were found in none of {searched:?}: name their folder with --models")]
    ModelsMissing {
        /// Folders tried, in order.
        searched: Vec<PathBuf>,
    },
    /// A stage that does not exist.
    #[error("unknown stage {found:?}: use {known}")]
    UnknownStage {
        /// The word given.
        found: String,
        /// The words known.
        known: String,
    },
    /// No photo could ever be worked on.
    #[error("{0} threads: give at least 1")]
    NoThreads(usize),
    /// No tenant can be called so.
    #[error(transparent)]
    Tenant(#[from] AccessWordError),
    /// Thresholds out of order.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Folder within the home that holds the folders of the tenants, but for the default one's.
const TENANTS: &str = "tenants";

/// Where the data of the tenants lie, but for the default one's.
pub fn tenants_folder(home: &Path) -> PathBuf {
    home.join(TENANTS)
}

/// Where a tenant's data lie: the default one's in the home itself.
pub fn tenant_home(home: &Path, tenant: &TenantName) -> PathBuf {
    if tenant.is_default() {
        home.to_owned()
    } else {
        tenants_folder(home).join(tenant.as_str())
    }
}

/// Settings as they were given, unchecked; `None` where the default holds.
#[derive(Debug, Default)]
pub struct SettingsDraft {
    /// Data folder.
    pub home: PathBuf,
    /// Whose data.
    pub tenant: Option<String>,
    /// Folder with the networks.
    pub models: Option<PathBuf>,
    /// Model card.
    pub model: Option<PathBuf>,
    /// Judge file.
    pub judge: Option<PathBuf>,
    /// Photos worked on at once.
    pub threads: Option<usize>,
    /// Least probability for `Review`.
    pub review_at: Option<f64>,
    /// Least probability for `Flagged`.
    pub flag_at: Option<f64>,
    /// Stages to run.
    pub stages: Option<Vec<String>>,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the engine needs; its home is the tenant's.
    pub engine: EngineSettings,
    /// The data folder as it was given, which holds keys and tenants.
    pub home: PathBuf,
    /// Whose data.
    pub tenant: TenantName,
    /// Folders that were searched for networks in vain; none when they are there.
    searched_in_vain: Vec<PathBuf>,
}

impl Settings {
    /// Asks for the networks, which not all commands need.
    ///
    /// # Errors
    /// [`ConfigError::ModelsMissing`] with every place that was tried.
    pub fn require_networks(&self) -> Result<(), ConfigError> {
        if self.searched_in_vain.is_empty() {
            return Ok(());
        }
        let searched = self.searched_in_vain.clone();
        Err(ConfigError::ModelsMissing { searched })
    }
}

impl SettingsDraft {
    /// Fills in the defaults and checks everything that needs no network and no database. Whether the networks are
    /// there is for [`Settings::require_networks`].
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting and how to mend it.
    pub fn checked(self) -> Result<Settings, ConfigError> {
        let n_threads = match self.threads {
            Some(0) => return Err(ConfigError::NoThreads(0)),
            Some(n) => n,
            None => available_parallelism().map_or(1, usize::from),
        };
        let (models, searched_in_vain) = match self.models {
            Some(folder) if folder.is_dir() => (folder, Vec::new()),
            Some(folder) => (folder.clone(), vec![folder]),
            None => models_folder(),
        };
        let defaults = Policy::default();
        let review_at = self.review_at.unwrap_or(defaults.review_at());
        // One threshold alone moves the other out of its way.
        let flag_at = self.flag_at.unwrap_or(defaults.flag_at().max(review_at));
        let review_at = if self.review_at.is_none() {
            review_at.min(flag_at)
        } else {
            review_at
        };
        let tenant: TenantName = match self.tenant {
            Some(name) => name.parse()?,
            None => TenantName::default(),
        };
        Ok(Settings {
            engine: EngineSettings {
                home: tenant_home(&self.home, &tenant),
                model_card: self.model.unwrap_or_else(|| models.join(DEFAULT_CARD)),
                judge: self.judge.unwrap_or_else(|| models.join("judge.json")),
                models,
                n_threads,
                policy: Policy::new(review_at, flag_at)?,
                stages: stages(self.stages)?,
            },
            home: self.home,
            tenant,
            searched_in_vain,
        })
    }
}

/// Card of the network that is used when none is named.
const DEFAULT_CARD: &str = "lite0-windows.toml";

/// The folder with networks that is used when none is named, and nothing; or where it would be, and the folders that
/// were searched.
fn models_folder() -> (PathBuf, Vec<PathBuf>) {
    let mut searched = vec![PathBuf::from("models")];
    if let Some(folder) = env::current_exe().ok().as_deref().and_then(Path::parent) {
        searched.push(folder.join("models"));
        searched.push(folder.join("../share/touchstone/models"));
        // A `cargo build` leaves the program in `target/release`.
        searched.push(folder.join("../../models"));
    }
    match searched
        .iter()
        .find(|folder| folder.join(DEFAULT_CARD).is_file())
    {
        Some(folder) => (folder.clone(), Vec::new()),
        None => (searched[0].clone(), searched),
    }
}

fn stages(names: Option<Vec<String>>) -> Result<Stages, ConfigError> {
    let Some(names) = names else {
        return Ok(Stages::all());
    };
    let mut stages = Stages::none();
    for name in names {
        let stage = stages.by_name(name.trim());
        let stage = stage.ok_or_else(|| ConfigError::UnknownStage {
            found: name.clone(),
            known: Stages::NAMES.join(", "),
        })?;
        *stage = true;
    }
    Ok(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> SettingsDraft {
        SettingsDraft {
            home: "home".into(),
            models: Some("models".into()),
            ..SettingsDraft::default()
        }
    }

    #[test]
    fn one_threshold_alone_moves_the_other_out_of_its_way() {
        let mut given = draft();
        given.review_at = Some(0.95);
        let policy = given.checked().expect("valid").engine.policy;
        assert_eq!((policy.review_at(), policy.flag_at()), (0.95, 0.95));
        let mut given = draft();
        given.flag_at = Some(0.2);
        let policy = given.checked().expect("valid").engine.policy;
        assert_eq!((policy.review_at(), policy.flag_at()), (0.2, 0.2));
    }

    #[test]
    fn each_tenant_has_a_folder_of_its_own() {
        let home = |tenant: Option<&str>| {
            let mut given = draft();
            given.tenant = tenant.map(str::to_owned);
            given.checked().map(|settings| settings.engine.home)
        };
        assert_eq!(home(None).expect("valid"), PathBuf::from("home"));
        assert_eq!(home(Some("default")).expect("valid"), PathBuf::from("home"));
        let acme = home(Some("acme")).expect("valid");
        assert_eq!(acme, PathBuf::from("home/tenants/acme"));
        assert!(home(Some("../acme")).is_err());
    }

    #[test]
    fn networks_are_missed_only_when_they_are_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut given = draft();
        given.models = Some(folder.path().to_owned());
        let settings = given.checked().expect("valid");
        assert!(settings.require_networks().is_ok());
        let missing = folder.path().join("nowhere");
        let mut given = draft();
        given.models = Some(missing.clone());
        let settings = given.checked().expect("valid");
        let message = settings.require_networks().expect_err("not there");
        let message = message.to_string();
        let named = format!("{missing:?}");
        assert!(
            message.contains(&named) && message.contains("--models"),
            "{message}"
        );
    }

    #[test]
    fn unknown_stages_and_zero_threads_are_refused() {
        let mut given = draft();
        given.stages = Some(vec!["magic".into()]);
        let message = given.checked().expect_err("no such stage").to_string();
        assert!(
            message.contains("magic") && message.contains("windows"),
            "{message}"
        );
        let mut given = draft();
        given.threads = Some(0);
        assert!(given.checked().is_err());
    }
}
