//! What operators do: keys, tenants, the audit log, backups; with the program and the server as they are.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{Program, Ran};

/// No answer should take this long.
const PATIENCE: Duration = Duration::from_secs(20);
const PACK: &str = "fixtures/grocery/packs/oatly-oat-milk.jpg";

fn lines(ran: &Ran) -> Vec<Value> {
    let text = ran.stdout();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

pub fn register(program: &Program, flags: &[&str]) {
    let rest = ["register", PACK, "--brand", "Oatly", "--kind", "packaging"];
    program.done(&[flags, &rest].concat());
}

/// `touchstone serve` on a port of its own, until this is dropped.
pub struct Served {
    process: Child,
    pub address: String,
    /// What it said before it listened.
    said: String,
}

impl Served {
    fn start(program: &Program, flags: &[&str]) -> Self {
        Self::start_in(program, flags, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_in(program: &Program, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_touchstone"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("TOUCHSTONE_HOME", program.path("home"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        let address = loop {
            let line = lines.next().expect("it listens").expect("text");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(',').next().expect("an address").to_owned();
            }
            said += &line;
            said.push('\n');
        };
        // Unread lines would fill the pipe and stop the server.
        thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address,
            said,
        }
    }

    /// Status and text of an answer.
    fn get(&self, path: &str, key: Option<&str>) -> (u16, String) {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        let mut request = agent.get(format!("{}{path}", self.address));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut answer = request.call().expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        (answer.status().as_u16(), text)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn keys_open_a_served_home_at_once_and_no_longer_when_revoked() {
    let program = Program::new();
    register(&program, &[]);
    let served = Served::start(&program, &[]);
    assert!(served.said.contains("/sign-in?once="), "{}", served.said);
    // As printed it makes a key for this home, wherever that is.
    let at_home = format!("--home {} keys create", program.path("home").display());
    assert!(served.said.contains(&at_home), "{}", served.said);
    assert_eq!(served.get("/v1/assets", None).0, 401);
    assert_eq!(served.get("/healthz", None).0, 200);
    assert!(!served.get("/readyz", None).1.contains("n_assets"));

    let create = [
        "keys", "create", "--role", "reviewer", "--label", "ann", "--json",
    ];
    let made = program.done(&create).json();
    let key = made["key"].as_str().expect("a key").to_owned();
    let (status, text) = served.get("/v1/assets", Some(&key));
    assert_eq!((status, text.contains("Oatly")), (200, true), "{text}");

    // Another tenant begins with a key, and has nothing yet.
    let acme = [&["--tenant", "acme"][..], &create].concat();
    let theirs = program.done(&acme).json()["key"]
        .as_str()
        .expect("a key")
        .to_owned();
    let (status, text) = served.get("/v1/assets", Some(&theirs));
    assert_eq!((status, text.contains("Oatly")), (200, false), "{text}");

    let listed = program.done(&["keys", "list"]).stdout();
    assert!(
        listed.contains("reviewer") && listed.contains("acme"),
        "{listed}"
    );
    assert!(!listed.contains(key.rsplit('_').next().expect("a secret")));
    program.done(&["keys", "revoke", made["id"].as_str().expect("an id")]);
    assert_eq!(served.get("/v1/assets", Some(&key)).0, 401);
    assert_eq!(program.run(&["keys", "revoke", "000000000000"]).code(), 1);
    drop(served);
    let again = Served::start(&program, &[]);
    assert!(
        !again.said.contains("once="),
        "there were keys: {}",
        again.said
    );
}

#[test]
fn a_server_without_keys_is_for_this_machine_alone() {
    let program = Program::new();
    register(&program, &[]);
    let served = Served::start(&program, &["--open"]);
    assert_eq!(served.get("/v1/assets", None).0, 200);
    assert!(!served.said.contains("once="), "{}", served.said);
    drop(served);
    let refused = program.run(&["serve", "--open", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr().contains("--open"), "{}", refused.stderr());
    let refused = program.run(&["--tenant", "acme", "serve"]);
    assert_eq!(refused.code(), 2);
}

#[test]
fn the_command_line_is_in_the_audit_log_of_its_tenant() {
    let program = Program::new();
    register(&program, &[]);
    register(&program, &["--tenant", "acme"]);
    program.done(&["assets", "disable", "1"]);
    program.done(&["keys", "create", "--role", "operator", "--label", "root"]);
    let words = |ran: &Ran| -> Vec<_> {
        let lines = lines(ran);
        lines.iter().map(|line| line["action"].clone()).collect()
    };
    let log = program.done(&["audit"]);
    let expected = json!(["asset_registered", "asset_disabled", "key_created"]);
    assert_eq!(json!(words(&log)), expected);
    let first = &lines(&log)[0];
    assert!(
        first["who"]
            .as_str()
            .is_some_and(|who| who.starts_with("command line"))
    );
    assert_eq!(first["details"]["brand"], "Oatly");
    let rest = program.done(&["audit", "--after", "2"]);
    assert_eq!(json!(words(&rest)), json!(["key_created"]));
    let theirs = program.done(&["--tenant", "acme", "audit"]);
    assert_eq!(json!(words(&theirs)), json!(["asset_registered"]));
}

#[test]
fn a_backup_of_a_served_home_is_restored_elsewhere() {
    let program = Program::new();
    register(&program, &[]);
    register(&program, &["--tenant", "acme"]);
    let create = [
        "keys", "create", "--role", "operator", "--label", "root", "--json",
    ];
    let key = program.done(&create).json()["key"]
        .as_str()
        .expect("a key")
        .to_owned();
    let served = Served::start(&program, &[]);
    let text = |path: &std::path::Path| path.display().to_string();
    let (backup, other) = (text(&program.path("backup")), text(&program.path("other")));
    program.done(&["backup", &backup]);
    assert_eq!(served.get("/v1/assets", Some(&key)).0, 200);
    drop(served);
    assert_eq!(
        program.run(&["backup", &backup]).code(),
        2,
        "it is there already"
    );
    let home = text(&program.path("home"));
    assert_eq!(
        program.run(&["restore", &backup]).code(),
        2,
        "{home} is in use"
    );

    program.done(&["--home", &other, "restore", &backup]);
    for tenant in ["default", "acme"] {
        let at = ["--home", &other, "--tenant", tenant];
        let copy = "fixtures/photos/copy-oatly-oat-milk-crop.jpg";
        let found = program.done(&[&at[..], &["match", "--json", copy]].concat());
        assert_eq!(found.json()[0]["findings"][0]["brand"], "Oatly", "{tenant}");
    }
    let keys = program
        .done(&["--home", &other, "keys", "list", "--json"])
        .json();
    assert_eq!(keys[0]["label"], "root");

    // A damaged backup leaves nothing behind.
    let database = program.path("backup").join("tenants/acme/touchstone.db");
    let mut bytes = fs::read(&database).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x5a);
    fs::write(&database, bytes).expect("written");
    let third = text(&program.path("third"));
    let refused = program.run(&["--home", &third, "restore", &backup]);
    assert_eq!(refused.code(), 2, "{}", refused.stderr());
    assert!(!program.path("third").exists());
}

#[test]
fn shells_and_man_know_the_commands() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = program.done(&["completions", shell]).stdout();
        assert!(text.contains("screen") && text.contains("keys"), "{shell}");
    }
    let folder = program.path("man");
    program.done(&["man", &folder.display().to_string()]);
    for page in [
        "touchstone.1",
        "touchstone-serve.1",
        "touchstone-keys-create.1",
    ] {
        let text = fs::read_to_string(folder.join(page)).expect(page);
        assert!(text.contains(".TH"), "{page}");
    }
    let serve = fs::read_to_string(folder.join("touchstone-serve.1")).expect("a page");
    assert!(serve.contains("behind"), "{serve}");
}

/// Raises the files that this process may have open to what the system lets it; gives how many these are.
#[cfg(target_os = "linux")]
fn with_many_files() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a valid place for the limit, which outlives them.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

#[cfg(target_os = "linux")]
#[test]
fn thousands_of_idle_and_crawling_connections_keep_nobody_out() {
    use std::io::Write as _;
    use std::net::TcpStream;

    let n_connections = 10_000.min(with_many_files().saturating_sub(1_000));
    assert!(n_connections >= 1_000, "{n_connections} are no crowd");
    let program = Program::new();
    let served = Served::start(&program, &["--open"]);
    let address = served.address.trim_start_matches("http://").to_owned();
    // Two in three say nothing, one in three says a little and goes on with it byte by byte.
    let mut crowd: Vec<TcpStream> = (0..n_connections)
        .map(|_| TcpStream::connect(&address).expect("a connection"))
        .collect();
    for _ in 0..3 {
        for crawling in crowd.iter_mut().step_by(3) {
            // It may have been cut off by now.
            let _ = crawling.write_all(b"G");
        }
        assert_eq!(served.get("/healthz", None).0, 200);
    }
    drop(crowd);
    assert_eq!(served.get("/readyz", None).0, 200);
}
