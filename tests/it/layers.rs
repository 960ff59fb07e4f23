//! Imports go down the module map, never up or sideways.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with the modules it may import; the map of ARCHITECTURE.md.
const MAP: [(&str, &[&str]); 17] = [
    (
        "cli",
        &[
            "config", "engine", "eval", "evidence", "http", "report", "scanning", "fetch", "embed",
            "ocr", "index", "matching", "store", "runtime", "domain",
        ],
    ),
    (
        "http",
        &[
            "config", "engine", "evidence", "report", "scanning", "fetch", "store", "imaging",
            "embed", "index", "matching", "ocr", "runtime", "domain",
        ],
    ),
    ("config", &["engine", "matching", "domain"]),
    (
        "evidence",
        &[
            "engine", "report", "embed", "ocr", "imaging", "matching", "store", "domain",
        ],
    ),
    ("scanning", &["engine", "report", "fetch", "domain"]),
    (
        "engine",
        &[
            "fetch", "embed", "ocr", "imaging", "index", "matching", "store", "eval", "runtime",
            "domain",
        ],
    ),
    ("report", &["matching", "domain", "imaging"]),
    ("fetch", &["domain"]),
    ("embed", &["runtime", "imaging", "domain"]),
    ("ocr", &["runtime", "imaging", "domain"]),
    ("imaging", &["domain"]),
    ("index", &["domain"]),
    ("matching", &["domain"]),
    ("store", &["domain"]),
    ("eval", &["domain"]),
    ("runtime", &["domain"]),
    ("domain", &[]),
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Top-level module of a file under `src/`; `None` for `lib.rs` and `main.rs`.
fn module_of(path: &Path, src: &Path) -> Option<String> {
    let inside = path.strip_prefix(src).expect("below src");
    let first = inside
        .iter()
        .next()?
        .to_str()?
        .trim_end_matches(".rs")
        .to_owned();
    (first != "lib" && first != "main").then_some(first)
}

/// Modules named after `crate::` outside of comments.
fn imports(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .flat_map(|rest| {
            let word = |s: &str| {
                s.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect()
            };
            match rest.strip_prefix('{') {
                Some(group) => group
                    .split(',')
                    .map(|part| word(part.trim()))
                    .collect::<Vec<String>>(),
                None => vec![word(rest)],
            }
        })
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn imports_only_go_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map: BTreeMap<_, _> = MAP.into_iter().collect();
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut n_imports = 0;
    let mut upward = Vec::new();
    for path in files {
        let Some(module) = module_of(&path, &src) else {
            continue;
        };
        let allowed = map
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{module} has no row in the module map"));
        for import in imports(&fs::read_to_string(&path).expect("readable")) {
            // Macros and the like are no modules.
            if map.contains_key(import.as_str()) && import != module {
                n_imports += 1;
                if !allowed.contains(&import.as_str()) {
                    upward.push(format!("{} imports {import}", path.display()));
                }
            }
        }
    }
    assert!(
        n_imports > 50,
        "only {n_imports} imports seen: the reading is broken"
    );
    assert!(
        upward.is_empty(),
        "upward or sideways imports:\n{}",
        upward.join("\n")
    );
}

#[test]
fn only_one_layer_names_each_engine() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    for (library, owners) in [
        ("rusqlite", &["store"][..]),
        ("axum", &["http"]),
        ("hyper_rustls", &["fetch"]),
        ("object_store", &["fetch"]),
        // Results, and manifests of listings.
        ("parquet", &["report", "engine"]),
        ("tar", &["engine"]),
        // Bundles, and archives of listings.
        ("zip", &["evidence", "engine"]),
    ] {
        for path in &files {
            let text = fs::read_to_string(path).expect("readable");
            // A test may build an error of any layer.
            let text = text.split("#[cfg(test)]").next().expect("a first part");
            let is_used = text
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && names(line, library));
            if is_used {
                let module = module_of(path, &src);
                assert!(
                    module.is_some_and(|module| owners.contains(&module.as_str())),
                    "{} uses {library}",
                    path.display()
                );
            }
        }
    }
}

/// Whether `library::` stands in a line, and is not the end of a longer name or a part of a path.
fn names(line: &str, library: &str) -> bool {
    line.match_indices(&format!("{library}::")).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}
