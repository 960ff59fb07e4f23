use super::super::{read_rows, samples};
use super::*;
use std::collections::BTreeMap;

use crate::domain::Shard;

fn identity() -> ScanIdentity {
    ScanIdentity {
        touchstone: "0.1.0".into(),
        stamp: (*samples::scan()[0].stamp).clone(),
        files: BTreeMap::new(),
        review_at: 0.35,
        flag_at: 0.9,
        stages: "all".into(),
        source: "l.jsonl".into(),
        shard: None,
        fetches_urls: false,
        source_state: None,
    }
}

fn rows(path: &Path) -> Vec<ScannedPhoto> {
    let rows = read_rows(path).expect("there");
    rows.map(|row| row.expect("a row")).collect()
}

/// Compares with the samples, in their order.
fn in_order() -> impl FnMut(&ScannedPhoto) -> Result<(), String> {
    let mut expected = samples::scan().into_iter();
    move |row| match expected.next() {
        Some(next) if next.key() == row.key() => Ok(()),
        Some(next) => Err(next.photo),
        None => Err("nothing".into()),
    }
}

#[test]
fn a_scan_that_is_cut_off_anywhere_goes_on_without_a_lost_or_doubled_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let mut spool = Spool::begin(&destination, &identity()).expect("new");
    for scanned in samples::scan() {
        spool.write(&scanned).expect("written");
    }
    let partial = spool.path().to_owned();
    drop(spool);
    let whole = fs::read(&partial).expect("there");
    for n in (0..=whole.len())
        .step_by(97)
        .chain([whole.len() - 1, whole.len()])
    {
        fs::write(&partial, &whole[..n]).expect("writable");
        let mut spool = Spool::resume(&destination, &identity(), in_order()).expect("a part");
        let n_kept = spool.n_rows() as usize;
        assert_eq!(n_kept, whole[..n].iter().filter(|b| **b == b'\n').count());
        for scanned in samples::scan().iter().skip(n_kept) {
            spool.write(scanned).expect("written");
        }
        drop(spool);
        assert_eq!(fs::read(&partial).expect("there"), whole, "{n}");
    }
    let mut spool = Spool::resume(&destination, &identity(), in_order()).expect("whole");
    spool.publish(&destination).expect("published");
    spool.close();
    assert_eq!(rows(&destination).len(), samples::scan().len());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn zeros_that_a_power_cut_left_are_no_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let mut spool = Spool::begin(&destination, &identity()).expect("new");
    spool.write(&samples::scan()[0]).expect("written");
    let partial = spool.path().to_owned();
    drop(spool);
    let mut bytes = fs::read(&partial).expect("there");
    bytes.extend([0; 300]);
    bytes.push(b'\n');
    fs::write(&partial, bytes).expect("writable");
    let spool = Spool::resume(&destination, &identity(), in_order()).expect("a part");
    assert_eq!(spool.n_rows(), 1);
}

#[test]
fn unfinished_rows_are_neither_lost_nor_mixed_with_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let mut spool = Spool::begin(&destination, &identity()).expect("new");
    // Another process, or this one, cannot write there too.
    let error = Spool::begin(&destination, &identity()).expect_err("in use");
    assert!(matches!(error, ReportError::InUse { .. }), "{error}");
    for scanned in samples::scan() {
        spool.write(&scanned).expect("written");
    }
    drop(spool);
    let error = Spool::begin(&destination, &identity()).expect_err("unfinished");
    assert!(error.to_string().contains("--resume"), "{error}");
    let mut other = identity();
    other.stamp.registry_revision += 1;
    other.shard = Some(Shard::new(1, 2).expect("a shard"));
    let error = Spool::resume(&destination, &other, in_order()).expect_err("another scan");
    let message = error.to_string();
    for words in [
        "registry revision was 12 and is 13 now",
        "shard was none and is \"1/2\" now",
    ] {
        assert!(message.contains(words), "{message}");
    }
    let changed = |_: &ScannedPhoto| Err("photo \"x\"".to_owned());
    let error = Spool::resume(&destination, &identity(), changed).expect_err("changed");
    assert!(error.to_string().contains("row 1 is of"), "{error}");
    let spool = Spool::resume(&destination, &identity(), in_order()).expect("the same");
    assert_eq!(spool.n_rows() as usize, samples::scan().len());
}
