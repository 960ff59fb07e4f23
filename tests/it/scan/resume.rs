use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{COPY, NOTHING, PACK, Scene, lasting, text_of, write_tar};

/// Kills before the scan may end undisturbed.
const N_KILLS: usize = 15;

#[test]
fn a_scan_killed_at_any_moment_loses_and_doubles_nothing() {
    let scene = Scene::new();
    let manifest = scene.manifest(60);
    let whole = scene.path("whole.jsonl");
    let started = Instant::now();
    scene
        .program
        .done(&Scene::arguments(&manifest, &whole, &[]));
    let undisturbed = started.elapsed();
    let out = scene.path("out.jsonl");
    let csv = scene.path("out.csv");
    let arguments = Scene::arguments(&manifest, &out, &["--out", &csv, "--resume"]);
    // A small generator, so that a failure can be repeated.
    let mut random = 20_261_128_u64;
    let n_rows = scene.rows("whole.jsonl").len();
    let (mut progress, mut n_in_the_middle) = (0, 0);
    for _ in 0..N_KILLS {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let share = (random >> 33) as f64 / f64::from(1_u32 << 31);
        let mut child = scene
            .program
            .command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(undisturbed.mul_f64(0.7 * share));
        child.kill().expect("SIGKILL");
        child.wait().expect("it ends");
        if scene.program.path("out.jsonl").exists() {
            // Done before the kill: once more from the front.
            assert_eq!(scene.rows("out.jsonl").len(), n_rows);
            for done in ["out.jsonl", "out.csv", "out.jsonl.summary.json"] {
                let _ = fs::remove_file(scene.program.path(done));
            }
            progress = 0;
            continue;
        }
        assert!(!scene.program.path("out.csv").exists());
        let part = fs::read(scene.program.path("out.jsonl.part")).unwrap_or_default();
        let n_kept = part.iter().filter(|byte| **byte == b'\n').count();
        assert!(n_kept >= progress, "{n_kept} rows after {progress}");
        progress = n_kept;
        n_in_the_middle += usize::from(n_kept > 0 && n_kept < n_rows);
    }
    assert!(n_in_the_middle > 0, "never killed in the middle");
    scene.program.done(&arguments);
    assert_eq!(
        lasting(&scene.rows("out.jsonl")),
        lasting(&scene.rows("whole.jsonl"))
    );
    let n_csv_rows = csv::Reader::from_path(&csv)
        .expect("CSV")
        .into_records()
        .count();
    assert!(n_csv_rows >= n_rows);
    for left in ["out.jsonl.part", "out.jsonl.part.json"] {
        assert!(!scene.program.path(left).exists(), "{left}");
    }
    let summary = scene.summary("out.jsonl");
    assert_eq!(summary["n_photos"], n_rows);
    // Done is done.
    let before = fs::metadata(&out)
        .expect("there")
        .modified()
        .expect("a time");
    let again = scene.program.done(&arguments);
    assert!(
        again.stderr().contains("already done"),
        "{}",
        again.stderr()
    );
    let after = fs::metadata(&out)
        .expect("there")
        .modified()
        .expect("a time");
    assert_eq!(before, after);
}

/// A scan that was killed in the middle.
fn cut_off(scene: &Scene, manifest: &str, out: &str) -> usize {
    let mut child = scene
        .program
        .command(&Scene::arguments(manifest, out, &[]))
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let part = format!("{out}.part");
    let n_rows = || {
        fs::read(&part)
            .unwrap_or_default()
            .iter()
            .filter(|b| **b == b'\n')
            .count()
    };
    let started = Instant::now();
    while n_rows() < 3 {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "nothing is written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    n_rows()
}

#[test]
fn an_unfinished_scan_is_neither_overwritten_nor_mixed_with_another() {
    let scene = Scene::new();
    let manifest = scene.manifest(40);
    let out = scene.path("out.jsonl");
    let n_rows = cut_off(&scene, &manifest, &out);
    assert!((3..46).contains(&n_rows), "{n_rows}");
    let refused = |more: &[&str], words: &str| {
        let ran = scene.program.run(&Scene::arguments(&manifest, &out, more));
        assert_eq!(ran.code(), 2, "{}", ran.stderr());
        assert!(ran.stderr().contains(words), "{}", ran.stderr());
    };
    refused(&[], "--resume");
    refused(
        &["--resume", "--flag-at", "0.8"],
        "flag at was 0.9 and is 0.8 now",
    );
    // Another first listing.
    let text = fs::read_to_string(&manifest).expect("the manifest");
    fs::write(&manifest, text.replace("L-0", "L-x")).expect("a file");
    refused(&["--resume"], "row 1");
    fs::write(&manifest, &text).expect("a file");
    let other = ["register", COPY, "--brand", "Other", "--kind", "packaging"];
    scene.program.done(&other);
    refused(&["--resume"], "registry revision was");
    let part = fs::read(scene.program.path("out.jsonl.part")).expect("kept");
    let n_kept = part.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(n_kept, n_rows);
    let ran = scene
        .program
        .run(&Scene::arguments(&manifest, "-", &["--resume"]));
    assert_eq!(ran.code(), 2);
}

#[test]
fn a_full_disk_costs_no_row() {
    let scene = Scene::new();
    // Enough rows that half of them are more than the database needs to be opened.
    let manifest = scene.manifest(120);
    let whole = scene.path("whole.jsonl");
    scene
        .program
        .done(&Scene::arguments(&manifest, &whole, &[]));
    let out = scene.path("out.jsonl");
    // Files may not grow beyond a part of the results; who ignores the signal is told by the write.
    let bytes = fs::metadata(&whole).expect("there").len();
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 1024 / 2);
    let program = scene
        .program
        .command(&Scene::arguments(&manifest, &out, &["--resume"]));
    let mut limited = Command::new("bash");
    limited
        .args(["-c", &script, "bash"])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TOUCHSTONE_HOME", scene.program.path("home"));
    let ran = limited.output().expect("bash");
    let message = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{message}");
    for words in ["the disk is full", "out.jsonl.part", "--resume"] {
        assert!(message.contains(words), "{message}");
    }
    assert!(!scene.program.path("out.jsonl").exists());
    scene
        .program
        .done(&Scene::arguments(&manifest, &out, &["--resume"]));
    assert_eq!(
        lasting(&scene.rows("out.jsonl")),
        lasting(&scene.rows("whole.jsonl"))
    );
    assert!(
        scene.summary("out.jsonl")["n_resumed"]
            .as_u64()
            .expect("a number")
            > 3
    );
}

#[test]
fn a_scan_cut_off_behind_its_last_row_is_only_finished() {
    let scene = Scene::new();
    let manifest = scene.manifest(4);
    let out = scene.path("out.jsonl");
    let arguments = Scene::arguments(&manifest, &out, &["--resume"]);
    scene.program.done(&arguments);
    let mut about = scene.summary("out.jsonl")["scan"].clone();
    about["n_bytes"] = fs::metadata(&out).expect("there").len().into();
    // As it stands when the results have their name and the summary is missing.
    fs::remove_file(scene.program.path("out.jsonl.summary.json")).expect("there");
    fs::write(scene.program.path("out.jsonl.part.json"), about.to_string()).expect("a file");
    fs::remove_file(scene.program.path("photos/1.jpg")).expect("there");
    scene.program.done(&arguments);
    assert_eq!(scene.summary("out.jsonl")["n_failed"], 0);
    assert!(!scene.program.path("out.jsonl.part.json").exists());
    assert!(fs::metadata(PACK).is_ok());
}

#[test]
fn a_finished_scan_of_a_folder_is_compared_with_what_is_there_now() {
    let scene = Scene::new();
    for name in ["b.jpg", "c.jpg"] {
        scene.photo(name, NOTHING);
    }
    let (photos, out) = (scene.path("photos"), scene.path("out.jsonl"));
    let resumed = || {
        let arguments = Scene::arguments(&photos, &out, &["--resume"]);
        scene.program.done(&arguments).stderr()
    };
    let found = || -> Vec<_> {
        let rows = scene.rows("out.jsonl");
        let photo = |row: &Value| row["photo"].as_str().expect("a name").to_owned();
        rows.iter().map(photo).collect()
    };
    assert!(!resumed().contains("already done"));
    assert!(resumed().contains("already done"));
    // Behind the others: only that is looked at.
    scene.photo("d.jpg", COPY);
    assert!(!resumed().contains("already done"));
    assert_eq!(found(), ["b.jpg", "c.jpg", "d.jpg"]);
    assert_eq!(scene.summary("out.jsonl")["n_resumed"], 2);
    assert_eq!(scene.rows("out.jsonl")[2]["verdict"], "Flagged");
    // Between them: all are.
    scene.photo("a.jpg", NOTHING);
    let said = resumed();
    assert!(said.contains("the source has other photos"), "{said}");
    assert_eq!(found(), ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]);
    assert_eq!(scene.summary("out.jsonl")["n_resumed"], 0);
    assert!(resumed().contains("already done"));
    fs::remove_file(scene.program.path("photos/d.jpg")).expect("there");
    assert!(!resumed().contains("already done"));
    assert_eq!(found(), ["a.jpg", "b.jpg", "c.jpg"]);
    assert!(!scene.program.path("out.jsonl.part").exists());
    // A shard that is done is not done again, as long as the folder is the same.
    let part = scene.path("part.jsonl");
    let arguments = Scene::arguments(&photos, &part, &["--shard", "1/1"]);
    scene.program.done(&arguments);
    let again = scene.program.done(&arguments).stderr();
    assert!(again.contains("already done"), "{again}");
    scene.photo("e.jpg", NOTHING);
    scene.program.done(&arguments);
    assert_eq!(scene.rows("part.jsonl").len(), 4);
}

#[test]
fn other_lines_on_standard_input_are_not_taken_for_those_before() {
    let scene = Scene::new();
    let out = scene.path("out.jsonl");
    let photo = text_of(&scene.photo("a.jpg", NOTHING));
    let scanned = |ids: &[&str]| {
        let lines: String = ids
            .iter()
            .map(|id| format!("{}\n", json!({"listing_id": id, "photos": [photo]})))
            .collect();
        let lines = scene.write("lines.jsonl", &lines);
        let ran = scene
            .program
            .command(&Scene::arguments("-", &out, &["--resume"]))
            .stdin(fs::File::open(lines).expect("there"))
            .output();
        let ran = ran.expect("the program starts");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        (ran.status.code(), said, scene.rows("out.jsonl").len())
    };
    let (code, said, n_rows) = scanned(&["A", "B"]);
    assert_eq!((code, n_rows), (Some(0), 2), "{said}");
    let (code, said, _) = scanned(&["A", "B"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("already done"), "{said}");
    let (code, said, n_rows) = scanned(&["A", "B", "C"]);
    assert_eq!((code, n_rows), (Some(0), 3), "{said}");
    let (code, said, n_rows) = scanned(&["D"]);
    assert_eq!((code, n_rows), (Some(2), 3), "{said}");
    assert!(said.contains("other lines"), "{said}");
}

#[test]
fn a_source_that_breaks_off_is_not_finished_in_any_shard() {
    let scene = Scene::new();
    let names = ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"];
    let photos = [COPY, NOTHING, NOTHING, COPY, NOTHING, NOTHING].map(fs::read);
    let photos = photos.map(|bytes| bytes.expect("a fixture"));
    let members: Vec<_> = names.into_iter().zip(photos).collect();
    let mut archive = Vec::new();
    write_tar(&mut archive, &members);
    let mut front = Vec::new();
    write_tar(&mut front, &members[..4]);
    // An archive ends with two blocks of zeros.
    let fourth_end = front.len() - 1024;
    let source = scene.path("photos.tar");
    fs::write(&source, &archive).expect("a file");
    let whole = scene.path("whole.jsonl");
    scene.program.done(&Scene::arguments(&source, &whole, &[]));
    // Within the fifth photo, behind its header.
    fs::write(&source, &archive[..fourth_end + 1000]).expect("a file");
    for shard in ["1/3", "2/3", "3/3"] {
        let part = scene.path("part.jsonl");
        let ran = scene.program.run(&Scene::arguments(
            &source,
            &part,
            &["--shard", shard, "--resume"],
        ));
        assert_eq!(ran.code(), 2, "{shard}: {}", ran.stderr());
        assert!(!scene.program.path("part.jsonl.summary.json").exists());
        let _ = fs::remove_file(scene.program.path("part.jsonl.part"));
    }
    let out = scene.path("out.jsonl");
    let resumed = Scene::arguments(&source, &out, &["--resume"]);
    for _ in 0..2 {
        let ran = scene.program.run(&resumed);
        assert_eq!(ran.code(), 2, "{}", ran.stderr());
        for words in ["photos.tar", "4.jpg is cut off", "--resume"] {
            assert!(ran.stderr().contains(words), "{}", ran.stderr());
        }
    }
    fs::write(&source, archive).expect("a file");
    scene.program.done(&resumed);
    assert_eq!(
        lasting(&scene.rows("out.jsonl")),
        lasting(&scene.rows("whole.jsonl"))
    );
    assert_eq!(scene.summary("out.jsonl")["n_resumed"], 4);
}
