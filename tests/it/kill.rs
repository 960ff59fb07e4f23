//! An index that is killed at any moment: it opens again, holds what the database holds, and finds what
//! a scan of it finds.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use touchstone::domain::{AssetDraft, AssetKind, Embedding, ModelId, PictureId};
use touchstone::index::{EntryId, ExactIndex, IndexError, LiveIndex};
use touchstone::store::{Descriptor, NewPicture, Registration, RegistryChange, Store};

const DIM: usize = 24;
/// So few that graphs are built, merged and saved all the time.
const EXACT_LIMIT: usize = 60;
/// Pictures registered in one transaction.
const N_TOGETHER: usize = 12;
/// Removals begin at so many pictures, and keep them about there.
const N_PICTURES: usize = 600;
const STAMP: &str = "a registry";
const SPACE: &str = "window";
/// Names the home to the process that is going to be killed.
const HOME_VARIABLE: &str = "TOUCHSTONE_TEST_KILLED_HOME";
const SEED_VARIABLE: &str = "TOUCHSTONE_TEST_KILLED_SEED";

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// The vector of the picture whose file name holds `number`: some are near each other.
fn vector(number: u64) -> Embedding {
    let mut centre = Random(number / 7 + 1);
    let mut own = Random(number + 1_000_003);
    let value = |spread: f32, random: &mut Random| spread * (random.below(2_000) as f32 - 1_000.0);
    let values = (0..DIM).map(|_| value(1.0, &mut centre) + value(0.4, &mut own));
    Embedding::new(values.collect()).expect("a direction")
}

fn entry(id: PictureId) -> EntryId {
    EntryId(id.0.unsigned_abs())
}

fn registration(number: u64) -> Registration {
    Registration {
        draft: AssetDraft::new("Acme", format!("asset {number}"), AssetKind::Logo),
        pictures: vec![NewPicture {
            source_name: format!("{number}.png"),
            bytes: number.to_le_bytes().to_vec(),
            width: 64,
            height: 64,
            hash: Vec::new(),
            exemplar_of: None,
            descriptors: vec![Descriptor {
                space: SPACE.to_owned(),
                variant: "plain".to_owned(),
                model: ModelId("test@1".to_owned()),
                embedding: vector(number),
            }],
            features: Vec::new(),
        }],
    }
}

/// What the database holds.
fn recorded(store: &Store) -> Vec<(PictureId, Embedding)> {
    let mut pictures = Vec::new();
    let follow = store.stream_since(0, false, |change| {
        if let RegistryChange::Picture(mut picture) = change {
            let descriptor = picture.descriptors.pop().expect("one vector");
            pictures.push((picture.id, descriptor.embedding));
        }
    });
    follow.expect("the database is whole");
    pictures
}

/// The saved index, brought to where the database is, and whether anything was saved.
fn opened(home: &Path, pictures: &[(PictureId, Embedding)]) -> (LiveIndex, bool) {
    let saved = LiveIndex::open(DIM, &home.join("index"), STAMP);
    let is_saved = saved.is_ok();
    let index = match saved {
        Ok(index) => index,
        Err(IndexError::NotSaved { .. }) => LiveIndex::new(DIM),
        Err(error) => panic!("a kill must not damage what is saved: {error}"),
    };
    let index = index.exact_up_to(EXACT_LIMIT);
    for (id, vector) in pictures {
        index.insert(entry(*id), vector).expect("one dimension");
    }
    let known: HashSet<EntryId> = pictures.iter().map(|(id, _)| entry(*id)).collect();
    index.retain(|entry| known.contains(&entry));
    (index, is_saved)
}

/// Registers, removes, searches, merges and saves until it is killed; says what has been acknowledged.
#[test]
#[ignore = "the process that the tests below kill"]
fn works_until_it_is_killed() {
    let Some(home) = std::env::var_os(HOME_VARIABLE) else {
        return;
    };
    let home = Path::new(&home);
    let seed = std::env::var(SEED_VARIABLE).expect("a seed");
    let seed: u64 = seed.parse().expect("a number");
    let mut random = Random(seed);
    // Two processes register nothing in common.
    let mut unused = seed << 32..;
    let store = Store::open(home).expect("a database");
    let pictures = recorded(&store);
    let (index, _) = opened(home, &pictures);
    let mut ids: Vec<PictureId> = pictures.into_iter().map(|(id, _)| id).collect();
    let saying = std::io::stdout();
    loop {
        let numbers: Vec<u64> = unused.by_ref().take(N_TOGETHER).collect();
        let registrations: Vec<_> = numbers.iter().map(|number| registration(*number)).collect();
        let answers = store.register_many(&registrations).expect("room");
        for (number, answer) in numbers.iter().zip(answers) {
            let id = answer.expect("registered").added[0];
            writeln!(&saying, "added {}", id.0).expect("a reader");
            index
                .insert(entry(id), &vector(*number))
                .expect("one dimension");
            ids.push(id);
        }
        while ids.len() > N_PICTURES - N_TOGETHER * 2 || random.below(3) == 0 {
            let id = ids.swap_remove(random.below(ids.len() as u64) as usize);
            writeln!(&saying, "removing {}", id.0).expect("a reader");
            store.remove_picture(id).expect("it was there");
            index.remove(entry(id));
        }
        if random.below(4) == 0 {
            index.settle();
        }
        index.save(&home.join("index"), STAMP).expect("room");
    }
}

/// What a process said before it was killed.
#[derive(Default)]
struct Said {
    added: BTreeSet<i64>,
    removing: BTreeSet<i64>,
}

impl Said {
    /// Whether the line says something: beside them stand those of the test harness.
    fn take(&mut self, line: &str) -> bool {
        let id = |rest: &str| rest.parse::<i64>().expect("a number");
        if let Some((_, rest)) = line.split_once("added ") {
            self.added.insert(id(rest))
        } else if let Some((_, rest)) = line.split_once("removing ") {
            self.removing.insert(id(rest))
        } else {
            false
        }
    }
}

/// Starts the process above, kills it a moment after it has said so many lines, and takes down what it
/// said.
fn killed(home: &Path, seed: u64, n_lines: usize, microseconds: u64, said: &mut Said) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "kill::works_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(HOME_VARIABLE, home)
        .env(SEED_VARIABLE, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the process starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut lines = lines.map_while(Result::ok);
    let mut n_said = 0;
    while n_said < n_lines {
        let line = lines.next().expect("it works before it is killed");
        n_said += usize::from(said.take(&line));
    }
    thread::sleep(Duration::from_micros(microseconds));
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    // So short a line is written as a whole or not at all.
    for line in lines {
        said.take(&line);
    }
}

/// Everything that was acknowledged is there, nothing else is, and it is found. Answers whether a graph
/// had been saved.
fn check(home: &Path, said: &Said) -> bool {
    let store = Store::open(home).expect("the database opens");
    assert_eq!(store.check().expect("it can be read"), Vec::<String>::new());
    let pictures = recorded(&store);
    let ids: BTreeSet<i64> = pictures.iter().map(|(id, _)| id.0).collect();
    let lost: Vec<_> = said
        .added
        .difference(&said.removing)
        .filter(|id| !ids.contains(id))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let (index, is_saved) = opened(home, &pictures);
    assert_eq!(index.len(), pictures.len());
    let mut exact = ExactIndex::new(DIM);
    for (id, vector) in &pictures {
        exact.insert(entry(*id), vector).expect("one dimension");
    }
    let queries: Vec<Embedding> = pictures.iter().map(|(_, vector)| vector.clone()).collect();
    let expected = exact.search_many(&queries, 5, None).expect("one dimension");
    let found = index.search_many(&queries, 5, None).expect("one dimension");
    let mut n_alike = 0;
    for ((expected, found), (id, _)) in expected.iter().zip(&found).zip(&pictures) {
        assert_eq!(
            found[0].entry,
            entry(*id),
            "every vector is found by itself"
        );
        n_alike += expected.iter().zip(found).filter(|(e, f)| e == f).count();
    }
    let n_expected: usize = expected.iter().map(Vec::len).sum();
    assert!(
        n_alike as f64 >= 0.999 * n_expected as f64,
        "{n_alike} of {n_expected}"
    );
    is_saved
}

fn kill_and_check(n_kills: u64) {
    let folder = TempDir::new().expect("a folder");
    let mut random = Random(20_261_128);
    let mut said = Said::default();
    let mut n_saved = 0;
    for seed in 0..n_kills {
        let n_lines = 1 + random.below(150) as usize;
        killed(
            folder.path(),
            seed,
            n_lines,
            random.below(30_000),
            &mut said,
        );
        n_saved += u64::from(check(folder.path(), &said));
    }
    assert!(
        n_saved * 2 > n_kills,
        "a graph had been saved at {n_saved} of {n_kills} kills"
    );
}

#[test]
fn an_index_killed_at_any_moment_opens_and_has_lost_nothing() {
    kill_and_check(10);
}

/// `make test-kill`.
#[test]
#[ignore = "takes minutes"]
fn an_index_killed_two_hundred_times_opens_and_has_lost_nothing() {
    kill_and_check(200);
}
