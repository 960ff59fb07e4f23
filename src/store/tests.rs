//! The registry against files that are full, damaged, foreign, shared, or cut off by a kill.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use jiff::civil::date;
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::domain::{
    Asset, AssetDraft, AssetId, AssetKind, DomainError, Embedding, FileDigest, ModelId, PictureId,
};

const HOME_VARIABLE: &str = "TOUCHSTONE_TEST_REGISTER_IN";

fn draft(name: &str) -> AssetDraft {
    AssetDraft::new("Acme", name, AssetKind::Logo)
}

fn descriptor(space: &str, model: &str, values: [f32; 3]) -> Descriptor {
    Descriptor {
        space: space.into(),
        variant: "plain".into(),
        model: ModelId(model.into()),
        embedding: Embedding::new(values.to_vec()).expect("a direction"),
    }
}

fn picture(content: &str) -> NewPicture {
    NewPicture {
        source_name: format!("{content}.png"),
        bytes: content.as_bytes().to_vec(),
        width: 40,
        height: 30,
        hash: vec![7; 32],
        exemplar_of: None,
        descriptors: vec![
            descriptor("window", "net@1", [1.0, 2.0, 3.0]),
            descriptor("whole", "net@1", [0.0, 0.0, 1.0]),
        ],
        features: vec![Features {
            kind: "sift@1".into(),
            variant: "plain".into(),
            bytes: vec![1, 2, 3],
        }],
    }
}

fn memory() -> Store {
    Store::open_in_memory().expect("a registry")
}

fn in_folder() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("a registry");
    (folder, store)
}

#[test]
fn what_goes_in_comes_out() {
    let (folder, store) = in_folder();
    let mut star = draft("Star");
    star.valid_from = Some(date(2026, 1, 1));
    star.word_marks = vec!["STAR".into(), "звезда".into()];
    star.authorised_sellers = vec!["a \"quoted\" one".into()];
    let registered = store
        .register(&star, &[picture("one"), picture("two")])
        .unwrap();
    assert!(registered.created);
    assert_eq!(registered.added.len(), 2);
    drop(store);

    let store = Store::open(folder.path()).unwrap();
    let asset = store.asset(registered.asset_id).unwrap();
    assert_eq!(asset.draft, star);
    assert!(asset.enabled && asset.n_pictures == 2);
    assert!(asset.created_at.parse::<jiff::Timestamp>().is_ok());
    assert_eq!(store.find_asset("Acme", "Star").unwrap(), Some(asset));
    assert_eq!(store.picture_bytes(registered.added[1]).unwrap(), b"two");

    let delta = store.load_since(0, true).unwrap();
    let found = &delta.pictures[0];
    assert_eq!(found.id, registered.added[0]);
    assert_eq!(found.descriptors, picture("one").descriptors);
    assert_eq!(found.features, picture("one").features);
    assert_eq!(store.brands().unwrap()[0].n_assets, 1);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn the_same_picture_is_recognised_here_and_elsewhere() {
    let store = memory();
    let first = store.register(&draft("Star"), &[picture("one")]).unwrap();
    let before = store.revision().unwrap();
    let again = store
        .register(&draft("Star"), &[picture("one"), picture("one")])
        .unwrap();
    assert!(!again.created && again.added.is_empty());
    assert_eq!(again.duplicates, [first.added[0]; 2]);
    assert_eq!(store.revision().unwrap(), before, "nothing changed");

    let other = store
        .register(
            &draft("Moon"),
            &[picture("one"), picture("new"), picture("new")],
        )
        .unwrap();
    assert_eq!(other.added.len(), 2);
    assert_eq!(other.duplicates, other.added[1..]);
    assert_eq!(
        other.same_picture_elsewhere,
        [(first.asset_id, first.added[0])]
    );
    let digest = FileDigest::of(b"one");
    assert_eq!(store.pictures_with(&digest).unwrap().len(), 2);
}

#[test]
fn a_second_registration_changes_only_what_it_gives() {
    let store = memory();
    let mut full = draft("Star");
    full.notes = Some("first".into());
    full.valid_until = Some(date(2026, 6, 1));
    full.word_marks = vec!["STAR".into()];
    let id = store.register(&full, &[]).unwrap().asset_id;

    let mut second = draft("Star");
    second.notes = Some("second".into());
    store.register(&second, &[]).unwrap();
    let kept = store.asset(id).unwrap().draft;
    assert_eq!(kept.notes.as_deref(), Some("second"));
    assert_eq!(kept.valid_until, full.valid_until);
    assert_eq!(kept.word_marks, full.word_marks);

    // Good alone, but not together with the end that is registered.
    let mut late = draft("Star");
    late.valid_from = Some(date(2027, 1, 1));
    assert!(matches!(
        store.register(&late, &[picture("late")]),
        Err(StoreError::Draft(DomainError::EndsBeforeStart { .. }))
    ));
    assert_eq!(store.asset(id).unwrap().n_pictures, 0);
}

#[test]
fn a_batch_goes_in_but_for_what_is_refused() {
    let store = memory();
    let entry = |name: &str| Registration {
        draft: draft(name),
        pictures: vec![picture(name)],
    };
    let answers = store
        .register_many(&[entry("Star"), entry("  "), entry("Moon"), entry("Star")])
        .unwrap();
    assert_eq!(answers[1], Err(DomainError::Empty { field: "asset" }));
    let last = answers[3].as_ref().unwrap();
    assert!(!last.created && last.duplicates.len() == 1);
    assert_eq!(store.assets(&AssetFilter::default()).unwrap().len(), 2);
    assert_eq!(store.revision().unwrap(), 1);
}

#[test]
fn filters_narrow_and_page() {
    let store = memory();
    for name in ["Star", "Starlet", "Moon"] {
        store.register(&draft(name), &[]).unwrap();
    }
    store
        .register(&AssetDraft::new("Bolt", "Star", AssetKind::Product), &[])
        .unwrap();
    let moon = store.find_asset("Acme", "Moon").unwrap().unwrap();
    store.set_enabled(moon.id, false).unwrap();

    let names = |filter: AssetFilter| -> Vec<String> {
        let assets = store.assets(&filter).unwrap();
        assets.into_iter().map(|a| a.draft.name).collect()
    };
    let all = AssetFilter::default;
    let brand = Some("Acme".into());
    assert_eq!(names(AssetFilter { brand, ..all() }).len(), 3);
    let kind = Some(AssetKind::Product);
    assert_eq!(names(AssetFilter { kind, ..all() }), ["Star"]);
    let enabled = Some(false);
    assert_eq!(names(AssetFilter { enabled, ..all() }), ["Moon"]);
    let name_contains = Some("LET".into());
    assert_eq!(
        names(AssetFilter {
            name_contains,
            ..all()
        }),
        ["Starlet"]
    );
    let (after, limit) = (Some(AssetId(1)), Some(2));
    assert_eq!(
        names(AssetFilter {
            after,
            limit,
            ..all()
        }),
        ["Starlet", "Moon"]
    );
}

#[test]
fn an_export_passes_page_borders() {
    let store = memory();
    let batch: Vec<_> = (0..300)
        .map(|i| Registration {
            draft: draft(&format!("asset {i}")),
            pictures: vec![picture(&format!("picture {i}"))],
        })
        .collect();
    store.register_many(&batch).unwrap();
    let records: Vec<_> = store.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 300);
    let line = serde_json::to_value(&records[299]).unwrap();
    assert_eq!(line["name"], "asset 299");
    let digest = FileDigest::of(b"picture 299").to_hex();
    assert_eq!(line["pictures"][0]["sha256"], digest);
}

/// The feed and a plain reading of everything must tell the same story, whatever happened.
#[derive(Debug, Clone)]
enum Step {
    Register(u8, u8),
    RemoveAsset(u8),
    RemovePicture(u8),
    Enable(u8, bool),
    Follow,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..5, 0u8..8).prop_map(|(a, p)| Step::Register(a, p)),
        1 => (0u8..8).prop_map(Step::RemoveAsset),
        1 => (0u8..8).prop_map(Step::RemovePicture),
        1 => (0u8..8, any::<bool>()).prop_map(|(a, on)| Step::Enable(a, on)),
        2 => Just(Step::Follow),
    ];
    prop::collection::vec(step, 1..40)
}

#[derive(Default)]
struct Follower {
    revision: u64,
    assets: Vec<Asset>,
    pictures: Vec<IndexedPicture>,
}

impl Follower {
    fn follow(&mut self, store: &Store) {
        let reached = store.stream_since(self.revision, true, |change| match change {
            RegistryChange::AssetRemoved(id) => self.assets.retain(|a| a.id != id),
            RegistryChange::PictureRemoved(id) => self.pictures.retain(|p| p.id != id),
            RegistryChange::Asset(asset) => {
                self.assets.retain(|a| a.id != asset.id);
                self.assets.push(asset);
            }
            RegistryChange::Picture(picture) => {
                assert!(self.assets.iter().any(|a| a.id == picture.asset_id));
                self.pictures.retain(|p| p.id != picture.id);
                self.pictures.push(picture);
            }
        });
        self.revision = reached.unwrap();
        self.assets.sort_by_key(|a| a.id);
        self.pictures.sort_by_key(|p| p.id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_follower_arrives_where_a_newcomer_does(steps in steps()) {
        let store = memory();
        let mut follower = Follower::default();
        for step in steps {
            match step {
                Step::Register(a, p) => {
                    store
                        .register(&draft(&format!("a{a}")), &[picture(&format!("p{p}"))])
                        .unwrap();
                }
                // These may name what is not there: the error must change nothing.
                Step::RemoveAsset(a) => drop(store.remove_asset(AssetId(a.into()))),
                Step::RemovePicture(p) => drop(store.remove_picture(PictureId(p.into()))),
                Step::Enable(a, on) => drop(store.set_enabled(AssetId(a.into()), on)),
                Step::Follow => follower.follow(&store),
            }
        }
        follower.follow(&store);
        let everything = store.load_since(0, true).unwrap();
        prop_assert_eq!(follower.assets, everything.assets);
        prop_assert_eq!(follower.pictures, everything.pictures);
    }
}

#[test]
fn ids_of_removed_things_are_not_given_out_again() {
    let store = memory();
    let first = store.register(&draft("Star"), &[picture("one")]).unwrap();
    store.remove_asset(first.asset_id).unwrap();
    let second = store.register(&draft("Star"), &[picture("one")]).unwrap();
    assert!(second.asset_id > first.asset_id && second.added[0] > first.added[0]);
    assert!(matches!(
        store.picture_bytes(first.added[0]),
        Err(StoreError::NoSuchPicture { .. })
    ));
}

#[test]
fn a_revision_from_elsewhere_is_noticed() {
    let store = memory();
    store.register(&draft("Star"), &[]).unwrap();
    assert!(matches!(
        store.load_since(9, false),
        Err(StoreError::RevisionAhead {
            asked: 9,
            current: 1
        })
    ));
    assert_ne!(
        store.registry_id().unwrap(),
        memory().registry_id().unwrap()
    );
}

#[test]
fn another_model_takes_over_only_when_nothing_lacks_it() {
    let store = memory();
    let old = store
        .register(&draft("Star"), &[picture("one"), picture("two")])
        .unwrap();
    let new_model = ModelId("net@2".into());
    assert_eq!(
        store.model("window").unwrap(),
        Some(ModelId("net@1".into()))
    );

    let mut foreign = picture("three");
    foreign.descriptors[0].model = new_model.clone();
    assert!(matches!(
        store.register(&draft("Star"), &[foreign]),
        Err(StoreError::ModelMismatch { .. })
    ));
    assert_eq!(store.asset(old.asset_id).unwrap().n_pictures, 2);

    let revision = store.revision().unwrap();
    let mut after = None;
    while let Some(found) = store.next_undescribed("window", &new_model, after).unwrap() {
        assert!(matches!(
            store.activate_models(&[("window", new_model.clone())]),
            Err(StoreError::Undescribed { n_missing: 1.., .. })
        ));
        let made = descriptor("window", "net@2", [3.0, 0.0, 0.0]);
        store.put_descriptors(&[(found.id, vec![made])]).unwrap();
        after = Some(found.id);
    }
    assert_eq!(store.revision().unwrap(), revision, "still unseen");
    store
        .activate_models(&[("window", new_model.clone())])
        .unwrap();

    let delta = store.load_since(revision, false).unwrap();
    assert_eq!(delta.pictures.len(), 2);
    for picture in delta.pictures {
        let models: Vec<_> = picture.descriptors.iter().map(|d| &d.model.0).collect();
        assert_eq!(models, ["net@1", "net@2"], "whole, then window");
    }
}

#[test]
fn files_that_are_no_registry_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE_NAME);
    fs::write(
        &path,
        "no database at all, but long enough to be taken for one".repeat(40),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        Store::open(folder.path()),
        Err(StoreError::NotADatabase { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE shopping (thing)")
        .unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        Store::open(folder.path()),
        Err(StoreError::ForeignDatabase { found: 0, .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused() {
    let (folder, store) = in_folder();
    store
        .connections
        .writer()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    drop(store);
    let error = Store::open(folder.path()).err().expect("too new");
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }));
    assert!(error.to_string().contains("upgrade touchstone"));
}

#[test]
fn a_place_that_is_no_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file).err().expect("not a folder");
    assert!(matches!(&error, StoreError::Folder { path, .. } if *path == file));
    fs::create_dir(folder.path().join(DATABASE_NAME)).unwrap();
    assert!(matches!(
        Store::open(folder.path()),
        Err(StoreError::CannotOpen { .. })
    ));
}

#[test]
fn a_write_that_may_not_be_says_so() {
    let (_folder, store) = in_folder();
    store
        .connections
        .writer()
        .pragma_update(None, "query_only", true)
        .unwrap();
    assert!(matches!(
        store.register(&draft("Star"), &[]),
        Err(StoreError::ReadOnly { .. })
    ));
}

#[test]
fn damage_is_reported_not_answered() {
    let (folder, store) = in_folder();
    for i in 0..50 {
        store.register(&draft(&format!("asset {i}")), &[]).unwrap();
    }
    drop(store);
    let path = folder.path().join(DATABASE_NAME);
    let mut bytes = fs::read(&path).unwrap();
    for byte in &mut bytes[4096..] {
        *byte ^= 0x5a;
    }
    fs::write(&path, bytes).unwrap();
    let answer = Store::open(folder.path()).and_then(|store| store.assets(&AssetFilter::default()));
    assert!(
        matches!(answer, Err(StoreError::Damaged { .. })),
        "{answer:?}"
    );
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let (folder, store) = in_folder();
    let n_pages: i64 = {
        let writer = store.connections.writer();
        let n_pages = writer
            .pragma_query_value(None, "page_count", |r| r.get(0))
            .unwrap();
        writer
            .pragma_update_and_check(None, "max_page_count", n_pages + 60, |_| Ok(()))
            .unwrap();
        n_pages
    };
    assert!(n_pages > 0);
    let mut acknowledged = Vec::new();
    let refused = loop {
        let mut large = picture(&format!("picture {}", acknowledged.len()));
        large.bytes.resize(20_000, 1);
        match store.register(&draft("Star"), &[large]) {
            Ok(registered) => acknowledged.extend(registered.added),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 100, "the limit is never met");
    };
    assert!(
        matches!(refused, StoreError::DiskFull { .. }),
        "{refused:?}"
    );
    assert!(acknowledged.len() > 3);
    let read_back = |store: &Store| {
        let delta = store.load_since(0, false).unwrap();
        delta.pictures.iter().map(|p| p.id).collect::<Vec<_>>()
    };
    assert_eq!(read_back(&store), acknowledged);
    drop(store);
    // With room again, the same home goes on.
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(read_back(&store), acknowledged);
    store.register(&draft("Star"), &[picture("more")]).unwrap();
}

/// The other end of [`a_kill_loses_nothing_that_was_acknowledged`]: registers and says so until it
/// is killed. Does nothing when run as a test of its own.
#[test]
fn registering_child() {
    let Some(home) = env::var_os(HOME_VARIABLE) else {
        return;
    };
    let store = Store::open(Path::new(&home)).unwrap();
    let process = std::process::id();
    for i in 0.. {
        let mut large = picture(&format!("{process} {i}"));
        large.bytes.resize(30_000, 1);
        let registered = store
            .register(&draft(&format!("{process}")), &[large])
            .unwrap();
        println!("acknowledged {} {}", process, registered.added[0].0);
    }
}

fn start_child(home: &Path) -> std::process::Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::tests::registering_child", "--nocapture"])
        .env(HOME_VARIABLE, home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for n_before_kill in [1, 7, 23] {
        // Two at once, so that one is killed while the other waits for its lock.
        let mut children = [start_child(folder.path()), start_child(folder.path())];
        let readers = children.each_mut().map(|child| {
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let acknowledged = lines.map_while(Result::ok).filter_map(|line| {
                let (_, id) = line.split_once("acknowledged ")?.1.split_once(' ')?;
                id.parse::<i64>().ok()
            });
            acknowledged.fuse()
        });
        let [mut first, second] = readers;
        acknowledged.extend(first.by_ref().take(n_before_kill));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        acknowledged.extend(first);
        acknowledged.extend(second);

        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        let kept = store.load_since(0, true).unwrap().pictures;
        for id in &acknowledged {
            let found = kept
                .iter()
                .find(|p| p.id.0 == *id)
                .expect("was acknowledged");
            assert_eq!((found.descriptors.len(), found.features.len()), (2, 1));
            assert_eq!(store.picture_bytes(found.id).unwrap().len(), 30_000);
        }
    }
    assert!(acknowledged.len() >= 31);
}

#[test]
fn many_may_open_and_write_a_new_home_at_once() {
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for writer in 0..6 {
            let home = folder.path();
            scope.spawn(move || {
                // A store of its own, as another process would have.
                let store = Store::open(home).unwrap();
                for i in 0..10 {
                    let name = format!("{writer} {i}");
                    store.register(&draft(&name), &[picture(&name)]).unwrap();
                    assert!(!store.load_since(0, false).unwrap().assets.is_empty());
                }
            });
        }
    });
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.assets(&AssetFilter::default()).unwrap().len(), 60);
    assert_eq!(store.revision().unwrap(), 60);
}
