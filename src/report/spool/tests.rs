use serde_json::{Value, json};

use super::super::{read_rows, samples};
use super::*;

use crate::domain::Shard;

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
    let mut spool = Spool::begin(&destination, &samples::identity()).expect("new");
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
        let mut spool =
            Spool::resume(&destination, &samples::identity(), in_order()).expect("a part");
        let n_kept = spool.n_rows() as usize;
        assert_eq!(n_kept, whole[..n].iter().filter(|b| **b == b'\n').count());
        for scanned in samples::scan().iter().skip(n_kept) {
            spool.write(scanned).expect("written");
        }
        drop(spool);
        assert_eq!(fs::read(&partial).expect("there"), whole, "{n}");
    }
    let mut spool = Spool::resume(&destination, &samples::identity(), in_order()).expect("whole");
    spool.publish(&destination).expect("published");
    spool.close();
    assert_eq!(rows(&destination).len(), samples::scan().len());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn zeros_that_a_power_cut_left_are_no_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let mut spool = Spool::begin(&destination, &samples::identity()).expect("new");
    spool.write(&samples::scan()[0]).expect("written");
    let partial = spool.path().to_owned();
    drop(spool);
    let mut bytes = fs::read(&partial).expect("there");
    bytes.extend([0; 300]);
    bytes.push(b'\n');
    fs::write(&partial, bytes).expect("writable");
    let spool = Spool::resume(&destination, &samples::identity(), in_order()).expect("a part");
    assert_eq!(spool.n_rows(), 1);
}

#[test]
fn unfinished_rows_are_neither_lost_nor_mixed_with_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let mut spool = Spool::begin(&destination, &samples::identity()).expect("new");
    // Another process, or this one, cannot write there too.
    let error = Spool::begin(&destination, &samples::identity()).expect_err("in use");
    assert!(matches!(error, ReportError::InUse { .. }), "{error}");
    for scanned in samples::scan() {
        spool.write(&scanned).expect("written");
    }
    drop(spool);
    let error = Spool::begin(&destination, &samples::identity()).expect_err("unfinished");
    assert!(error.to_string().contains("--resume"), "{error}");
    let mut other = samples::identity();
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
    let error = Spool::resume(&destination, &samples::identity(), changed).expect_err("changed");
    assert!(error.to_string().contains("row 1 is of"), "{error}");
    let spool = Spool::resume(&destination, &samples::identity(), in_order()).expect("the same");
    assert_eq!(spool.n_rows() as usize, samples::scan().len());
}

/// The first sample, with fields that lie `depth` deep in its listing.
fn nested(depth: usize) -> ScannedPhoto {
    let mut scanned = samples::scan().remove(0);
    let value = (1..depth).fold(json!([]), |inner, _| Value::Array(vec![inner]));
    let mut listing = (*scanned.listing).clone();
    listing.other.insert("odd".into(), value);
    scanned.listing = Arc::new(listing);
    scanned
}

#[test]
fn a_row_that_could_not_be_read_again_is_a_failure_and_costs_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let mut spool = Spool::begin(&destination, &samples::identity()).expect("new");
    let mut long = nested(1);
    Arc::make_mut(&mut long.listing).other["odd"] = "x".repeat(MAX_ROW_BYTES as usize).into();
    let scan = [nested(5), nested(127), long, nested(1)];
    assert!(read_record(PhotoRecord::new(&scan[1]).to_line().as_bytes()).is_err());
    for scanned in &scan {
        spool.write(scanned).expect("written");
    }
    drop(spool);
    let mut n_compared = 0;
    let spool = Spool::resume(&destination, &samples::identity(), |row| {
        assert_eq!(row.key(), scan[n_compared].key());
        let is_whole = [true, false, false, true][n_compared];
        assert_eq!(row.outcome.is_ok(), is_whole, "{n_compared}");
        assert_eq!(row.listing.other.contains_key("odd"), is_whole);
        n_compared += 1;
        Ok(())
    });
    assert_eq!(spool.expect("readable").n_rows(), 4);
    assert_eq!(n_compared, 4);
}

#[test]
fn rows_behind_one_that_cannot_be_read_are_not_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let mut spool = Spool::begin(&destination, &samples::identity()).expect("new");
    spool.write(&samples::scan()[0]).expect("written");
    let partial = spool.path().to_owned();
    drop(spool);
    let row = fs::read(&partial).expect("there");
    let resumed = |lines: &[&[u8]]| {
        fs::write(&partial, lines.concat()).expect("writable");
        Spool::resume(&destination, &samples::identity(), |_| Ok(()))
    };
    let error = resumed(&[&row, b"{}\n", &row]).expect_err("a row is behind it");
    let is_second = matches!(error, ReportError::BadRow { line: 2, .. });
    assert!(is_second, "{error}");
    assert_eq!(
        fs::read(&partial).expect("kept").len(),
        2 * row.len() + b"{}\n".len()
    );
    let spool = resumed(&[&row, b"{}\n", b"{}\n"]).expect("nothing is behind it");
    assert_eq!(spool.n_rows(), 1);
    drop(spool);
    let spool = resumed(&[&row, b"\0\0{}\n", &row]).expect("a power cut");
    assert_eq!(spool.n_rows(), 1);
}

#[test]
fn without_rows_a_scan_begins_anew_whatever_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let mut spool = Spool::begin(&destination, &samples::identity()).expect("new");
    spool.write(&samples::scan()[0]).expect("written");
    let partial = spool.path().to_owned();
    drop(spool);
    let mut other = samples::identity();
    other.stamp.registry_revision += 1;
    let error = Spool::resume(&destination, &other, in_order()).expect_err("another scan");
    assert!(error.to_string().contains("delete"), "{error}");
    fs::remove_file(&partial).expect("there");
    let spool = Spool::resume(&destination, &other, in_order()).expect("begun");
    assert_eq!(spool.n_rows(), 0);
}

#[test]
fn the_results_before_are_not_taken_for_rows_that_were_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let (before, mut now) = (samples::identity(), samples::identity());
    now.stamp.registry_revision += 1;
    let is_published = |identity| Spool::is_published(&destination, identity).expect("readable");
    let mut spool = Spool::begin(&destination, &before).expect("new");
    spool.write(&samples::scan()[0]).expect("written");
    assert!(!is_published(&before));
    spool.publish(&destination).expect("published");
    assert!(is_published(&before) && !is_published(&now));
    spool.close();
    let spool = Spool::begin(&destination, &now).expect("new");
    fs::remove_file(spool.path()).expect("there");
    assert!(!is_published(&now));
}

#[test]
fn a_finished_scan_is_gone_on_with_and_stays_until_that_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = folder.path().join("out.jsonl");
    let scan = samples::scan();
    let mut spool = Spool::begin(&destination, &samples::identity()).expect("new");
    assert!(!Spool::has_rows(&destination));
    spool.write(&scan[0]).expect("written");
    assert!(Spool::has_rows(&destination));
    spool.publish(&destination).expect("published");
    spool.close();
    assert!(!Spool::has_rows(&destination));
    let day = Some(jiff::civil::date(2026, 11, 29));
    let spool = Spool::behind(&destination, &samples::identity(), 1, day).expect("copied");
    assert_eq!(rows(&destination).len(), 1);
    drop(spool);
    let mut spool = Spool::resume(&destination, &samples::identity(), in_order()).expect("cut off");
    assert_eq!((spool.n_rows(), spool.began_on()), (1, day));
    spool.write(&scan[1]).expect("written");
    spool.publish(&destination).expect("published");
    spool.close();
    let keys: Vec<_> = rows(&destination).iter().map(ScannedPhoto::key).collect();
    assert_eq!(keys, [scan[0].key(), scan[1].key()]);
}
