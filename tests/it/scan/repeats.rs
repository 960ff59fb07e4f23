use std::fs;

use serde_json::{Value, json};

use super::{COPY, NOTHING, PACK, Scene, lasting};

#[test]
fn the_same_photo_under_many_listings_is_looked_at_once_and_judged_for_each_seller() {
    let scene = Scene::new();
    let pack = fs::canonicalize(PACK).expect("a fixture");
    let assets = format!(
        "path,brand,asset,kind,authorised_sellers\n{},Brand,Pack,packaging,s-official\n",
        pack.display()
    );
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path().to_str().expect("UTF-8");
    let assets = scene.write("assets.csv", &assets);
    scene.program.done(&["--home", home, "register", &assets]);
    let copy = scene.photo("copy.jpg", COPY);
    let same = scene.program.path("photos").join("same.jpg");
    fs::copy(&copy, &same).expect("a copy");
    let lines: String = (0..30)
        .map(|idx| {
            let seller = if idx == 3 {
                "s-official".to_owned()
            } else {
                format!("s-{}", idx % 4)
            };
            let photo = if idx % 2 == 0 { &copy } else { &same };
            let line = json!({"listing_id": idx, "photos": [photo], "seller": {"id": seller}});
            format!("{line}\n")
        })
        .collect();
    let manifest = scene.write("listings.jsonl", &lines);
    let out = scene.path("out.jsonl");
    let arguments = [
        &["--home", home][..],
        &Scene::arguments(&manifest, &out, &[]),
    ]
    .concat();
    scene.program.done(&arguments);
    let rows = scene.rows("out.jsonl");
    for (idx, row) in rows.iter().enumerate() {
        let expected = if idx == 3 { "Clear" } else { "Flagged" };
        assert_eq!(row["verdict"], expected, "{idx}");
        assert_eq!(row["findings"][0]["authorised_seller"], idx == 3);
    }
    let works = |work: &str| rows.iter().filter(|row| row["work"] == work).count();
    assert_eq!((works("computed"), works("cached")), (1, 29));
    let summary = scene.summary("out.jsonl");
    assert_eq!(
        (&summary["n_computed"], &summary["n_cached"]),
        (&1.into(), &29.into())
    );
    let group = &summary["reuse"][0];
    assert_eq!(
        (&group["n_listings"], &group["n_files"]),
        (&30.into(), &1.into())
    );
    assert_eq!(group["n_sellers"], 5);
    assert_eq!(group["sha256"], rows[0]["sha256"]);
    assert!(
        summary["core_hours_per_million"]
            .as_f64()
            .expect("a number")
            > 0.0
    );
    let stages = summary["stages"].as_object().expect("an object");
    let shares = stages
        .values()
        .map(|cost| cost["share"].as_f64().expect("a share"));
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-6);
    assert!(stages["embed"]["core_seconds"].as_f64().expect("a number") > 0.0);
    // Without the cache the answers are the same.
    let slow = scene.path("slow.jsonl");
    let few = scene.write(
        "few.jsonl",
        &lines.lines().take(5).collect::<Vec<_>>().join("\n"),
    );
    let slow_arguments = Scene::arguments(&few, &slow, &["--cache-mib", "0"]);
    scene
        .program
        .done(&[&["--home", home][..], &slow_arguments].concat());
    assert_eq!(lasting(&scene.rows("slow.jsonl")), lasting(&rows)[..5]);
    assert_eq!(scene.summary("slow.jsonl")["n_computed"], 5);
}

#[test]
fn the_same_photo_saved_anew_is_in_the_same_group() {
    let scene = Scene::new();
    let photo = image::open(COPY).expect("a picture").to_rgb8();
    let mut lines = String::new();
    for quality in [95, 85, 75] {
        let path = scene.program.path("photos").join(format!("q{quality}.jpg"));
        let file = fs::File::create(&path).expect("a file");
        image::codecs::jpeg::JpegEncoder::new_with_quality(file, quality)
            .encode_image(&photo)
            .expect("encoded");
        let line = json!({"listing_id": quality, "photos": [path], "seller": {"id": quality}});
        lines.push_str(&format!("{line}\n"));
    }
    let other = scene.photo("other.jpg", NOTHING);
    lines.push_str(&format!(
        "{}\n",
        json!({"listing_id": "other", "photos": [other]})
    ));
    let manifest = scene.write("listings.jsonl", &lines);
    let out = scene.path("out.jsonl");
    scene.program.done(&Scene::arguments(&manifest, &out, &[]));
    let reuse = scene.summary("out.jsonl")["reuse"].clone();
    assert_eq!(reuse.as_array().map(Vec::len), Some(1), "{reuse}");
    assert_eq!(
        (&reuse[0]["n_files"], &reuse[0]["n_sellers"]),
        (&3.into(), &3.into())
    );
}

#[test]
fn a_later_scan_looks_only_at_what_is_new() {
    let scene = Scene::new();
    let manifest = scene.manifest(12);
    let first = scene.path("first.jsonl");
    scene
        .program
        .done(&Scene::arguments(&manifest, &first, &["--keep-days", "30"]));
    let n_rows = scene.rows("first.jsonl").len();
    let since = ["--since", first.as_str()];
    let works = |name: &str, work: &str| {
        let rows = scene.rows(name);
        rows.iter().filter(|row| row["work"] == work).count()
    };
    // Nothing was registered: only new photos are looked at.
    let text = fs::read_to_string(&manifest).expect("the manifest");
    let new = scene.photo("new.jpg", COPY);
    let line = json!({"listing_id": "new", "photos": [new], "seller": {"id": "s-1"}});
    let longer = scene.write("longer.jsonl", &format!("{text}{line}\n"));
    let second = scene.path("second.jsonl");
    scene
        .program
        .done(&Scene::arguments(&longer, &second, &since));
    assert_eq!(
        (
            works("second.jsonl", "earlier"),
            works("second.jsonl", "computed")
        ),
        (n_rows, 1)
    );
    assert_eq!(scene.summary("second.jsonl")["n_earlier"], n_rows);
    let fresh = scene.path("fresh.jsonl");
    scene.program.done(&Scene::arguments(&longer, &fresh, &[]));
    assert_eq!(
        lasting(&scene.rows("second.jsonl")),
        lasting(&scene.rows("fresh.jsonl"))
    );
    // What is registered now comes near to some photos; those, and those that it may concern, are looked
    // at again, and the answers are those of a scan from the beginning.
    scene
        .program
        .done(&["register", NOTHING, "--brand", "Other", "--kind", "product"]);
    let third = scene.path("third.jsonl");
    scene
        .program
        .done(&Scene::arguments(&longer, &third, &since));
    scene.program.done(&Scene::arguments(&longer, &fresh, &[]));
    assert_eq!(
        lasting(&scene.rows("third.jsonl")),
        lasting(&scene.rows("fresh.jsonl"))
    );
    assert!(works("third.jsonl", "computed") > 1);
    let flagged = |row: &&Value| row["findings"][0]["brand"] == "Other";
    assert!(scene.rows("third.jsonl").iter().filter(flagged).count() > 3);
    // With another judgement nothing of it counts.
    let fourth = scene.path("fourth.jsonl");
    let more = [&since[..], &["--flag-at", "0.5"]].concat();
    let ran = scene
        .program
        .done(&Scene::arguments(&longer, &fourth, &more));
    assert!(
        ran.stderr().contains("flag at was 0.9 and is 0.5 now"),
        "{}",
        ran.stderr()
    );
    assert_eq!(works("fourth.jsonl", "earlier"), 0);
    let ran = scene
        .program
        .run(&Scene::arguments(&longer, &fourth, &["--since", &longer]));
    assert_eq!(ran.code(), 2);
    assert!(
        ran.stderr().contains("no finished scan"),
        "{}",
        ran.stderr()
    );
}

/// What became of the photos of `manifest` in a scan that uses the answers in `first.jsonl`.
fn works_since(scene: &Scene, manifest: &str, work: &str) -> usize {
    let (first, out) = (scene.path("first.jsonl"), scene.path("since.jsonl"));
    let arguments = Scene::arguments(manifest, &out, &["--since", &first]);
    scene.program.done(&arguments);
    let rows = scene.rows("since.jsonl");
    rows.iter().filter(|row| row["work"] == work).count()
}

#[test]
fn what_counts_no_longer_leaves_no_answer_of_an_earlier_scan() {
    let scene = Scene::new();
    let manifest = scene.manifest(4);
    let other = ["register", NOTHING, "--brand", "Other", "--kind", "product"];
    scene.program.done(&other);
    let listed = scene.program.done(&["assets", "list", "--json"]).json();
    let assets = listed.as_array().expect("a list");
    let other = assets.iter().find(|asset| asset["brand"] == "Other");
    let id = other.expect("registered")["id"].to_string();
    let first = scene.path("first.jsonl");
    let scan_first = || {
        let arguments = Scene::arguments(&manifest, &first, &["--keep-days", "30"]);
        scene.program.done(&arguments);
        assert_eq!(works_since(&scene, &manifest, "earlier"), 5);
    };
    scan_first();
    // Of a photo without a finding nobody knows whether there would be one without the other brand.
    scene.program.done(&["assets", "disable", &id]);
    assert_eq!(works_since(&scene, &manifest, "earlier"), 0);
    scan_first();
    scene.program.done(&["assets", "remove", &id]);
    assert_eq!(works_since(&scene, &manifest, "earlier"), 0);
}

#[test]
fn assets_that_count_by_their_dates_now_are_as_if_registered_now() {
    let scene = Scene::new();
    let manifest = scene.manifest(4);
    let photo = fs::canonicalize(NOTHING).expect("a fixture");
    let register = |dates: &str| {
        let assets = format!(
            "path,brand,asset,kind,valid_from,valid_until\n{},Other,{dates}\n",
            photo.display()
        );
        let assets = scene.write("assets.csv", &assets);
        scene.program.done(&["register", &assets]);
        let first = scene.path("first.jsonl");
        scene
            .program
            .done(&Scene::arguments(&manifest, &first, &[]));
    };
    let earlier = |began_on: Value| {
        let mut summary = scene.summary("first.jsonl");
        assert!(summary["began_on"].is_string());
        if !began_on.is_boolean() {
            summary["began_on"] = began_on;
        }
        scene.write("first.jsonl.summary.json", &summary.to_string());
        works_since(&scene, &manifest, "earlier")
    };
    register("Begun,product,2020-01-15,");
    assert_eq!(earlier(true.into()), 5);
    assert_eq!(earlier("2020-01-15".into()), 5);
    assert_eq!(earlier("2020-01-14".into()), 0);
    assert_eq!(earlier(Value::Null), 0);
    register("Ended,product,,2020-01-31");
    assert_eq!(earlier("2020-02-01".into()), 5);
    assert_eq!(earlier("2020-01-31".into()), 0);
}
