//! The program as its users run it: real networks, real database, real files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A home of its own and the program on it.
pub struct Program {
    home: TempDir,
}

impl Program {
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a folder"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program on this home, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchstone"));
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("TOUCHSTONE_HOME", self.home.path().join("home"))
            .args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran(self
            .command(arguments)
            .output()
            .expect("the program starts"))
    }

    /// Runs, and expects exit 0.
    pub fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code(), 0, "{arguments:?}: {}", ran.stderr());
        ran
    }
}

/// How a run ended.
pub struct Ran(pub Output);

impl Ran {
    pub fn code(&self) -> i32 {
        self.0.status.code().expect("not killed")
    }

    pub fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).expect("UTF-8")
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout()).unwrap_or_else(|e| panic!("{e}: {}", self.stdout()))
    }
}

pub const PACK: &str = "fixtures/grocery/packs/oatly-oat-milk.jpg";
pub const COPY: &str = "fixtures/photos/copy-oatly-oat-milk-crop.jpg";

fn verdict(program: &Program, photo: &str) -> Value {
    program.done(&["match", "--json", photo]).json()[0].clone()
}

#[test]
fn an_asset_is_found_from_registration_until_removal() {
    let program = Program::new();
    let register = [
        "register",
        PACK,
        "--brand",
        "Oatly",
        "--kind",
        "packaging",
        "--json",
    ];
    let report = program.done(&register).json();
    assert_eq!(report["n_pictures_added"], 1);
    let again = program.done(&register).json();
    assert_eq!(
        (
            again["n_pictures_added"].clone(),
            again["n_duplicates"].clone()
        ),
        (0.into(), 1.into())
    );

    let found = verdict(&program, COPY);
    assert_eq!(found["verdict"], "Flagged");
    let finding = &found["findings"][0];
    assert_eq!(
        (finding["brand"].as_str(), finding["kind"].as_str()),
        (Some("Oatly"), Some("StolenPhoto"))
    );
    assert!(finding["probability"].as_f64().expect("a number") > 0.9);
    assert!(found["timings_ms"]["embed"].as_f64().expect("a number") > 0.0);

    let id = finding["asset_id"].to_string();
    program.done(&["assets", "disable", &id]);
    assert_eq!(verdict(&program, COPY)["verdict"], "Clear");
    program.done(&["assets", "enable", &id]);
    assert_eq!(verdict(&program, COPY)["verdict"], "Flagged");
    program.done(&["assets", "remove", &id]);
    nothing_is_registered(&program.run(&["match", COPY]), &program.path("home"));
    assert_eq!(
        program.done(&["assets", "list", "--json"]).json(),
        Value::Array(vec![])
    );
}

/// Whether a command would rather not run than answer that all is clear.
fn nothing_is_registered(ran: &Ran, home: &Path) {
    let told = format!("nothing is registered in {}", home.display());
    assert_eq!((ran.code(), ran.stdout().as_str()), (2, ""));
    assert!(ran.stderr().contains(&told), "{}", ran.stderr());
}

#[test]
fn a_home_without_assets_is_refused_and_not_made() {
    let program = Program::new();
    let listing = program.path("listing.json");
    let photo = fs::canonicalize(COPY).expect("a fixture");
    fs::write(&listing, json!({ "photos": [photo] }).to_string()).expect("a file");
    let listing = listing.to_str().expect("UTF-8");
    let commands = [
        vec!["match", COPY],
        vec!["screen", listing],
        vec!["scan", COPY, "--out", "-"],
    ];
    let mistyped = program.path("hoem");
    let at = ["--home", mistyped.to_str().expect("UTF-8")];
    for command in &commands {
        nothing_is_registered(&program.run(&[&at[..], &command[..]].concat()), &mistyped);
        assert!(!mistyped.exists(), "{command:?}");
    }
    // A tenant without assets is the same, also where another has some.
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    program.done(&["--tenant", "acme", "assets", "list"]);
    let acme = program.path("home").join("tenants/acme");
    for command in &commands {
        let ran = program.run(&[&["--tenant", "acme"][..], &command[..]].concat());
        nothing_is_registered(&ran, &acme);
    }
}

#[test]
fn a_photo_with_nothing_registered_is_clear_and_the_same_answer_comes_twice() {
    let program = Program::new();
    program.done(&["register", "fixtures/assets.csv"]);
    let photo = "fixtures/grocery/photos/nothing-5.jpg";
    assert_eq!(verdict(&program, photo)["verdict"], "Clear");
    let (first, second) = (verdict(&program, COPY), verdict(&program, COPY));
    assert_eq!(first["findings"], second["findings"]);
}

#[test]
fn hostile_files_are_reported_one_by_one_and_cost_nothing_else() {
    let program = Program::new();
    let folder = program.path("mixed");
    fs::create_dir(&folder).expect("a folder");
    let mut n_hostile = 0;
    for entry in fs::read_dir("fixtures/hostile").expect("fixtures") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|e| e != "md" && e != "csv" && e != "jsonl")
        {
            n_hostile += 1;
            fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    assert!(n_hostile >= 8);
    fs::copy(PACK, folder.join("good.jpg")).expect("a copy");
    let folder = folder.to_str().expect("UTF-8");
    let ran = program.run(&["register", folder, "--brand", "Mixed", "--json"]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    let report = ran.json();
    let failures = report["failures"].as_array().expect("a list");
    assert!(
        failures
            .iter()
            .all(|f| !f["reason"].as_str().expect("text").is_empty())
    );
    let n_added = report["n_pictures_added"].as_u64().expect("a number") as usize;
    assert_eq!(n_added + failures.len(), n_hostile + 1, "{report}");
    assert!(n_added >= 1 && failures.len() >= 6);

    let out = program.path("out.jsonl");
    let ran = program.run(&["scan", folder, "--out", out.to_str().expect("UTF-8")]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    let lines = json_lines(&out);
    assert_eq!(lines.len(), n_hostile + 1, "every photo has a line");
    assert!(
        lines
            .iter()
            .any(|line| line["photo"] == "good.jpg" && line["verdict"] == "Flagged")
    );
}

pub fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("readable");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn bad_lines_of_a_manifest_are_named_and_the_rest_goes_in() {
    let program = Program::new();
    let ran = program.run(&["register", "fixtures/hostile/bad-lines.csv"]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    assert!(ran.stderr().contains("line "), "{}", ran.stderr());
    let ran = program.run(&["register", "no-such-file.csv"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("no-such-file.csv"));
}

#[test]
fn an_error_says_its_cause_once() {
    let program = Program::new();
    let no_archive = program.path("case.zip");
    fs::write(&no_archive, b"no archive").expect("a file");
    let out = program.path("nowhere/out.jsonl");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (no_archive, out) = (text(&no_archive), text(&out));
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    for (arguments, cause) in [
        (
            vec!["register", "none.svg", "--brand", "Acme"],
            "No such file",
        ),
        (vec!["scan", COPY, "--out", &out], "No such file"),
        (vec!["verify", &no_archive], "EOCD"),
    ] {
        let ran = program.run(&arguments);
        assert_eq!(ran.code(), 2, "{arguments:?}");
        let told = ran.stderr();
        assert_eq!(told.matches(cause).count(), 1, "{arguments:?}: {told}");
    }
}

#[test]
fn a_scan_answers_every_photo_in_three_forms_and_keeps_unknown_fields() {
    let program = Program::new();
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    let manifest = program.path("listings.jsonl");
    let photo = |name: &str| {
        fs::canonicalize(name)
            .expect("a fixture")
            .display()
            .to_string()
    };
    let lines = [
        format!(
            r#"{{"listing_id":"A","photos":["{}","{}"],"seller":{{"id":"s1"}},"colour":"red"}}"#,
            photo(COPY),
            photo("fixtures/grocery/photos/nothing-1.jpg")
        ),
        "{broken".to_owned(),
        r#"{"listing_id":"B","photos":["missing.jpg"]}"#.to_owned(),
    ];
    fs::write(&manifest, lines.join("\n")).expect("a file");
    let outs = ["out.jsonl", "out.csv", "out.html"].map(|name| program.path(name));
    let mut arguments = vec!["scan", manifest.to_str().expect("UTF-8")];
    for out in &outs {
        arguments.extend(["--out", out.to_str().expect("UTF-8")]);
    }
    assert_eq!(program.run(&arguments).code(), 1);
    let rows = json_lines(&outs[0]);
    assert_eq!(rows.len(), 4, "two photos, a bad line, a missing photo");
    assert_eq!(
        (
            rows[0]["verdict"].as_str(),
            rows[0]["listing"]["colour"].as_str()
        ),
        (Some("Flagged"), Some("red"))
    );
    assert_eq!(rows[1]["verdict"], "Clear");
    assert!(rows[2]["error"].is_string() && rows[3]["error"].is_string());
    assert!(fs::read_to_string(&outs[1]).expect("CSV").lines().count() >= 5);
    let page = fs::read_to_string(&outs[2]).expect("HTML");
    assert!(page.contains("data:image/jpeg;base64,") && page.contains("Oatly"));
}

#[test]
fn an_authorised_seller_raises_no_verdict() {
    let program = Program::new();
    let manifest = program.path("assets.csv");
    let pack = fs::canonicalize(PACK).expect("a fixture");
    let text = format!(
        "path,brand,kind,authorised_sellers\n{},Oatly,packaging,s-official\n",
        pack.display()
    );
    fs::write(&manifest, text).expect("a file");
    program.done(&["register", manifest.to_str().expect("UTF-8")]);
    let listings = program.path("l.csv");
    let photo = fs::canonicalize(COPY).expect("a fixture");
    let photo = photo.display();
    fs::write(
        &listings,
        format!("photos,seller_id\n{photo},s-official\n{photo},s-other\n"),
    )
    .expect("a file");
    let rows = program
        .done(&["scan", listings.to_str().expect("UTF-8"), "--out", "-"])
        .stdout();
    let verdicts: Vec<Value> = rows
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(verdicts[0]["verdict"], "Clear");
    assert_eq!(verdicts[0]["findings"][0]["authorised_seller"], true);
    assert_eq!(verdicts[1]["verdict"], "Flagged");
}

#[test]
fn another_network_is_refused_until_the_pictures_are_described_anew() {
    let program = Program::new();
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    let other = ["--model", "models/lite0-gem.toml"];
    let with_other = |rest: &[&'static str]| [&other[..], rest].concat();
    let refused = program.run(&with_other(&["match", COPY]));
    assert_eq!(refused.code(), 2);
    assert!(
        refused.stderr().contains("touchstone assets reembed"),
        "{}",
        refused.stderr()
    );
    program.done(&with_other(&["assets", "reembed"]));
    program.done(&with_other(&["match", COPY]));
    assert_eq!(
        program.run(&["match", COPY]).code(),
        2,
        "the first network is the stranger now"
    );
}

#[test]
fn what_is_exported_can_be_imported_elsewhere() {
    let (here, there) = (Program::new(), Program::new());
    here.done(&[
        "register",
        PACK,
        "--brand",
        "Oatly",
        "--asset",
        "Oat milk",
        "--kind",
        "packaging",
    ]);
    let folder = here.path("export");
    let folder = folder.to_str().expect("UTF-8");
    here.done(&["assets", "export", folder]);
    there.done(&["assets", "import", folder]);
    let listed = there.done(&["assets", "list", "--json"]).json();
    assert_eq!(
        (listed[0]["brand"].as_str(), listed[0]["name"].as_str()),
        (Some("Oatly"), Some("Oat milk"))
    );
    assert_eq!(verdict(&there, COPY)["verdict"], "Flagged");
}

#[test]
fn doctor_finds_nothing_wrong_with_a_fresh_home_and_a_damaged_one_wanting() {
    let program = Program::new();
    let well = program.done(&["doctor"]).stdout();
    assert!(
        well.lines().count() >= 5 && !well.contains("WRONG"),
        "{well}"
    );
    fs::write(
        program.path("home").join("touchstone.db"),
        b"no database at all",
    )
    .expect("a file");
    let ran = program.run(&["doctor"]);
    assert_eq!(ran.code(), 1);
    assert!(
        ran.stdout().contains("WRONG") && ran.stdout().contains("backup"),
        "{}",
        ran.stdout()
    );
}

#[test]
fn what_needs_no_networks_runs_without_them_and_doctor_misses_them_once() {
    let program = Program::new();
    let without = ["--models", "no/models"];
    let with = |rest: &[&'static str]| [&without[..], rest].concat();
    for command in [
        &["keys", "list"][..],
        &["assets", "list"],
        &["brands", "list"],
        &["audit"],
    ] {
        program.done(&with(command));
    }
    let ran = program.run(&with(&["register", PACK, "--brand", "Oatly"]));
    assert_eq!(ran.code(), 2);
    assert!(
        ran.stderr().contains("no/models") && ran.stderr().contains("--models"),
        "{}",
        ran.stderr()
    );
    let ran = program.run(&with(&["doctor", "--json"]));
    assert_eq!(ran.code(), 1);
    let checks = ran.json();
    let checks = checks.as_array().expect("a list");
    let wrong: Vec<_> = checks.iter().filter(|c| c["is_well"] == false).collect();
    assert_eq!(wrong.len(), 1, "{checks:?}");
    assert_eq!(wrong[0]["name"], "network");
    assert!(checks.iter().any(|c| c["name"] == "database"), "{checks:?}");
}

#[test]
fn a_listing_is_screened_and_kept_as_asked() {
    let program = Program::new();
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    let folder = program.path("listings");
    fs::create_dir(&folder).expect("a folder");
    fs::copy(COPY, folder.join("copy.jpg")).expect("a copy");
    let file = folder.join("listing.json");
    let write = |text: &str| fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("UTF-8");
    write(r#"{"listing_id":7,"photos":["copy.jpg"],"seller":{"id":9},"colour":"red"}"#);
    let screened = program.done(&["screen", path, "--json"]).json();
    assert_eq!(screened["decision"], "block", "{screened}");
    assert_eq!(screened["listing"]["colour"], "red");
    assert_eq!(screened["photos"][0]["findings"][0]["brand"], "Oatly");
    // In no time nothing is checked, but it is checked all the same.
    let hurried = program.done(&["screen", path, "--budget-ms", "0"]).stdout();
    assert!(hurried.starts_with("review"), "{hurried}");
    write(r#"{"photos":["copy.jpg","none.jpg"]}"#);
    let partly = program.run(&["screen", path]);
    assert_eq!(partly.code(), 1);
    assert!(partly.stdout().contains("none.jpg"), "{}", partly.stdout());
    write("[]");
    assert_eq!(program.run(&["screen", path]).code(), 2);
}

#[test]
fn addresses_in_a_screened_listing_are_not_taken_for_files() {
    let program = Program::new();
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    let listing = program.path("listing.json");
    let text = r#"{"photos":["https://shop.example/1.jpg"]}"#;
    fs::write(&listing, text).expect("a file");
    let ran = program.run(&["screen", listing.to_str().expect("UTF-8")]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    assert!(
        ran.stdout().starts_with("review") && ran.stdout().contains("scan --fetch-urls"),
        "{}",
        ran.stdout()
    );
}

#[test]
fn settings_come_from_the_command_line_the_environment_the_file_and_the_defaults_in_that_order() {
    let program = Program::new();
    let file = program.path("touchstone.toml");
    fs::write(
        &file,
        "review_at = 0.4\nflag_at = 0.8\nthreads = 1\n[serve]\nrate = 7\nbehind_tls = true\n[scan]\ncache_mib = 256\n",
    )
    .expect("written");
    let file = file.to_str().expect("a path");
    let mut command = program.command(&["--config", file, "--flag-at", "0.95", "config", "show"]);
    command.env("TOUCHSTONE_REVIEW_AT", "0.5");
    command.env("TOUCHSTONE_TIMEOUT_S", "9");
    let ran = Ran(command.output().expect("the program starts"));
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let shown = ran.stdout();
    for line in [
        "flag_at = 0.95  # command line",
        "review_at = 0.5  # environment, TOUCHSTONE_REVIEW_AT",
        "threads = 1  # file",
        "rate = 7  # file",
        "behind_tls = true  # file",
        "timeout_s = 9  # environment, TOUCHSTONE_TIMEOUT_S",
        "listen = \"127.0.0.1:8470\"  # default",
        "# judge = \"models/judge.json\"  # default",
        "# fetch_ca is not given",
        "[scan]",
        "cache_mib = 256  # file",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    // What is shown can be the file.
    fs::write(program.path("again.toml"), &shown).expect("written");
    let again = program.path("again.toml");
    program.done(&[
        "--config",
        again.to_str().expect("a path"),
        "config",
        "show",
    ]);
}

#[test]
fn a_file_that_says_what_is_no_setting_ends_the_program_with_words() {
    let program = Program::new();
    let file = program.path("touchstone.toml");
    for (text, words) in [
        ("reviw_at = 0.4", "no setting \"reviw_at\""),
        ("[server]\nrate = 7", "no section [server]"),
        ("review_at = ", "reading the settings"),
        ("[serve]\nlisten = \"everywhere\"", "everywhere"),
    ] {
        fs::write(&file, text).expect("written");
        let ran = program.run(&["--config", file.to_str().expect("a path"), "doctor"]);
        assert_eq!(ran.code(), 2, "{text}");
        let told = ran.stderr();
        assert!(
            told.contains(words) && told.contains("touchstone.toml"),
            "{told}"
        );
    }
    let ran = program.run(&["--config", "nowhere.toml", "doctor"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("nowhere.toml"), "{}", ran.stderr());
}

#[test]
fn a_folder_without_pictures_is_an_error_and_no_empty_success() {
    let program = Program::new();
    let folder = program.path("empty");
    fs::create_dir(&folder).expect("made");
    let ran = program.run(&[
        "register",
        folder.to_str().expect("a path"),
        "--brand",
        "Acme",
    ]);
    assert_eq!(ran.code(), 2);
    assert!(
        ran.stderr().contains("nothing to register in"),
        "{}",
        ran.stderr()
    );
    assert_eq!(ran.stdout(), "");
}

#[test]
fn brands_are_promised_things_by_command_and_what_they_rest_on_is_told() {
    let program = Program::new();
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    let ran = program.done(&["brands", "promise", "Oatly", "0.95"]);
    assert!(
        ran.stderr().contains("it takes 45 decisions, all right"),
        "{}",
        ran.stderr()
    );
    let brands = program.done(&["brands", "list", "--json"]).json();
    assert_eq!(brands[0]["teaching"]["promise"]["precision"], 0.95);
    assert!(
        program
            .done(&["brands", "list"])
            .stdout()
            .contains("nothing is flagged yet")
    );
    program.done(&["brands", "promise", "Oatly", "none"]);
    let brands = program.done(&["brands", "list", "--json"]).json();
    assert_eq!(brands[0]["teaching"]["promise"], Value::Null);
    assert_eq!(
        program.run(&["brands", "promise", "Nobody", "0.9"]).code(),
        2
    );
    assert_eq!(
        program.run(&["brands", "promise", "Oatly", "0.2"]).code(),
        2
    );
    assert_eq!(program.run(&["assets", "learn", "7"]).code(), 1);
}

#[test]
fn teaching_is_played_through_on_labelled_photos() {
    let program = Program::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut photos = "path,brand,asset,kind\n".to_owned();
    let listed = fs::read_to_string(root.join("fixtures/photos.csv")).expect("readable");
    let of_arla = |line: &&str| line.starts_with("grocery/photos/arla-");
    for line in listed.lines().filter(of_arla).take(5) {
        let mut fields = line.split(',');
        let (path, brand) = (fields.next(), fields.next());
        let (path, brand) = (path.expect("a path"), brand.expect("a brand"));
        let path = root.join("fixtures").join(path);
        photos.push_str(&format!("{},{brand},,product\n", path.display()));
    }
    fs::write(program.path("photos.csv"), photos).expect("written");
    let photos = program.path("photos.csv");
    let ran = program.done(&[
        "eval",
        "--assets",
        "fixtures/assets.csv",
        "--photos",
        photos.to_str().expect("a path"),
        "--teach",
        "2,0",
        "--json",
    ]);
    let taught = &ran.json()["taught"];
    let counts = |step: usize| {
        let one = &taught[step];
        let count = |name: &str| one[name].as_u64().expect("a number");
        let left = one["after"]["n_positive"].as_u64().expect("a number");
        (count("confirmations_per_brand"), count("n_confirmed"), left)
    };
    assert_eq!(counts(0), (0, 0, 5));
    assert_eq!(taught[0]["before"], taught[0]["after"]);
    assert_eq!(counts(1), (2, 2, 3), "{taught}");
    assert!(
        taught[1]["after"]["recall_at_1"].as_f64() >= taught[1]["before"]["recall_at_1"].as_f64()
    );
}
