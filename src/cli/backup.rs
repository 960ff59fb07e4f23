//! `touchstone backup`, `touchstone restore`. A backup is laid out as a data folder is, without what
//! can be made again: the databases hold the pictures too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::Outcome;
use crate::config::{Settings, tenant_home, tenants_folder};
use crate::domain::TenantName;
use crate::report::folder_of;
use crate::store::{ACCESS_DATABASE_NAME, AccessStore, DATABASE_NAME, Store, make_private_folder};

pub(super) fn back_up(settings: &Settings, folder: &Path) -> anyhow::Result<Outcome> {
    let home = &settings.home;
    ensure!(
        home.join(DATABASE_NAME).is_file(),
        "{} is no data folder: nothing was ever registered there",
        home.display()
    );
    ensure!(!folder.exists(), "{} is there already", folder.display());
    // Under another name until all of it is there: half a backup must not pass for one.
    let part = beside(folder)?;
    make(&part)?;
    if home.join(ACCESS_DATABASE_NAME).is_file() {
        AccessStore::open(home)?.back_up(&part.join(ACCESS_DATABASE_NAME))?;
    }
    let tenants = tenants_of(home)?;
    for tenant in &tenants {
        let to = tenant_home(&part, tenant);
        make(&to)?;
        Store::open(&tenant_home(home, tenant))?.back_up(&to.join(DATABASE_NAME))?;
    }
    into_place(&part, folder)?;
    eprintln!("{} tenants in {}", tenants.len(), folder.display());
    Ok(Outcome::Done)
}

pub(super) fn restore(settings: &Settings, folder: &Path) -> anyhow::Result<Outcome> {
    let home = &settings.home;
    ensure!(
        folder.join(DATABASE_NAME).is_file(),
        "{} is no backup: it has no {DATABASE_NAME}",
        folder.display()
    );
    let is_free = match fs::read_dir(home) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !home.exists(),
    };
    ensure!(
        is_free,
        "{} is in use: restore into a new folder with --home, or move this one away",
        home.display()
    );
    let part = beside(home)?;
    make(&part)?;
    if folder.join(ACCESS_DATABASE_NAME).is_file() {
        copy(folder, &part, ACCESS_DATABASE_NAME)?;
        AccessStore::open(&part)?.keys(None)?;
    }
    let tenants = tenants_of(folder)?;
    for tenant in &tenants {
        let to = tenant_home(&part, tenant);
        make(&to)?;
        copy(&tenant_home(folder, tenant), &to, DATABASE_NAME)?;
        let faults = Store::open(&to)?.check()?;
        ensure!(
            faults.is_empty(),
            "the backup of tenant {tenant} is damaged: {}",
            faults.join("; ")
        );
    }
    if home.exists() {
        fs::remove_dir(home).with_context(|| format!("replacing {}", home.display()))?;
    }
    into_place(&part, home)?;
    eprintln!("{} tenants in {}", tenants.len(), home.display());
    Ok(Outcome::Done)
}

/// The default tenant, and all that have a database below `home`.
fn tenants_of(home: &Path) -> anyhow::Result<Vec<TenantName>> {
    let mut tenants = vec![TenantName::default()];
    let folder = tenants_folder(home);
    if !folder.is_dir() {
        return Ok(tenants);
    }
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name();
        let tenant = name.to_str().and_then(|name| name.parse().ok());
        let tenant = tenant.filter(|t| tenant_home(home, t).join(DATABASE_NAME).is_file());
        tenants.extend(tenant);
    }
    tenants.sort();
    Ok(tenants)
}

/// A new folder's name beside `path`, left over by nobody.
fn beside(path: &Path) -> anyhow::Result<PathBuf> {
    let mut name = path
        .file_name()
        .context("the folder has no name")?
        .to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    if part.exists() {
        // Of an attempt that was cut off.
        fs::remove_dir_all(&part).with_context(|| format!("removing {}", part.display()))?;
    }
    Ok(part)
}

fn make(folder: &Path) -> anyhow::Result<()> {
    make_private_folder(folder).with_context(|| format!("making {}", folder.display()))
}

fn copy(from: &Path, to: &Path, name: &str) -> anyhow::Result<()> {
    let (from, to) = (from.join(name), to.join(name));
    let copied = fs::copy(&from, &to).and_then(|_| File::open(&to)?.sync_all());
    copied.with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

fn into_place(part: &Path, folder: &Path) -> anyhow::Result<()> {
    let moved = fs::rename(part, folder).and_then(|()| File::open(folder_of(folder))?.sync_all());
    moved.with_context(|| format!("moving {} to {}", part.display(), folder.display()))
}
