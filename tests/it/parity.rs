//! The Rust embedding agrees with the Python reference: same fixtures, same network, cosine ≥ 0.999.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use touchstone::domain::{Embedding, ReferenceCells, Region};
use touchstone::embed::{Embedder, OnnxEmbedder};
use touchstone::imaging::{self, DecodeLimits};

const LEAST_COSINE: f32 = 0.999;
/// Windows that show little but white ground turn small differences of two JPEG decoders into
/// direction.
const LEAST_WINDOW_COSINE: f32 = 0.998;
/// A cell shows 16 pixels, where two JPEG decoders differ most.
const LEAST_CELL_COSINE: f32 = 0.995;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn vector(value: &Value) -> Embedding {
    let numbers = value.as_array().expect("an array").iter();
    let numbers = numbers.map(|n| n.as_f64().expect("a number") as f32);
    Embedding::new(numbers.collect()).expect("a direction")
}

/// The references, each with the fixture that it was made from.
fn references() -> Vec<(PathBuf, Value)> {
    let folder = root().join("models/parity");
    let references: Vec<_> = fs::read_dir(folder)
        .expect("parity files")
        .map(|entry| {
            let text = fs::read_to_string(entry.expect("an entry").path()).expect("readable");
            let value: Value = serde_json::from_str(&text).expect("JSON");
            let name = value["picture"].as_str().expect("a name").to_owned();
            let path = [
                "fixtures/grocery/photos",
                "fixtures/grocery/packs",
                "fixtures/photos",
            ]
            .iter()
            .map(|folder| root().join(folder).join(&name))
            .find(|path| path.is_file())
            .unwrap_or_else(|| panic!("no fixture {name}"));
            (path, value)
        })
        .collect();
    assert!(
        references.len() >= 5,
        "only {} references",
        references.len()
    );
    references
}

fn pixels(path: &Path) -> image::RgbImage {
    let bytes = fs::read(path).expect("readable");
    imaging::decode(&bytes, &DecodeLimits::default())
        .expect("a picture")
        .pixels
}

fn check(what: &str, path: &Path, ours: &Embedding, theirs: &Value) {
    let cosine = ours.similarity(&vector(theirs)).expect("same dimension").0;
    let least = match what {
        "window" => LEAST_WINDOW_COSINE,
        "cell" => LEAST_CELL_COSINE,
        _ => LEAST_COSINE,
    };
    assert!(
        cosine >= least,
        "{what} of {}: cosine {cosine}",
        path.display()
    );
}

/// Cells of the registered picture: where they are, what they show, and which of them count.
fn check_cells(path: &Path, ours: &Option<ReferenceCells>, theirs: &Value) {
    let ours = ours.as_ref().expect("the network gives cells");
    let chosen = theirs["chosen"].as_array().expect("an array");
    assert!(chosen.len() >= 3, "only {} cells", chosen.len());
    for cell in chosen {
        let [column, row] = ["column", "row"].map(|k| cell[k].as_u64().expect("a count") as usize);
        let vector = Embedding::new(ours.map().cell(column, row).to_vec()).expect("a direction");
        check("cell", path, &vector, &cell["descriptor"]);
    }
    let [columns, rows] = ours.map().size();
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
    let n_shown = places
        .filter(|&(column, row)| ours.is_shown(column, row))
        .count();
    // A cell at the edge of the mark may go either way.
    let expected = theirs["n_shown"].as_u64().expect("a count") as usize;
    assert!(
        n_shown.abs_diff(expected) <= 2,
        "{}: {n_shown} cells, {expected} expected",
        path.display()
    );
}

#[test]
fn whole_pictures_references_and_windows_agree_with_python() {
    let embedder =
        OnnxEmbedder::open(&root().join("models/lite0-windows.toml"), 1).expect("the network");
    for (path, reference) in references() {
        let picture = pixels(&path);
        let registered = embedder.embed_reference(&picture).expect("a description");
        let seen = &registered.embedding;
        check("reference", &path, seen, &reference["reference"]);
        check_cells(&path, &registered.cells, &reference["cells"]);
        let whole = embedder.embed_whole(&picture).expect("a description");
        check("whole", &path, &whole, &reference["gem"]);
        let mut windows = embedder
            .embed_windows(&picture)
            .expect("a description")
            .windows;
        let whole = Region::new(0.0, 0.0, picture.width() as f32, picture.height() as f32);
        if windows[0].region == whole && windows[0].embedding == *seen {
            windows.remove(0); // all of it, as registered; the references know the pyramid alone
        }

        // Windows of all levels come one level after another; the references are of the second one.
        let level = &reference["level"];
        let number = |value: &Value| value.as_u64().expect("a count") as usize;
        let first_of_level = number(&level["first"]);
        assert!(windows.len() > first_of_level + number(&level["windows"]));
        for chosen in level["chosen"].as_array().expect("an array") {
            let index = first_of_level + number(&chosen["index"]);
            check(
                "window",
                &path,
                &windows[index].embedding,
                &chosen["descriptor"],
            );
        }
    }
}

#[test]
fn a_plain_embedder_with_a_card_works_too() {
    let embedder =
        OnnxEmbedder::open(&root().join("models/lite0-gem.toml"), 1).expect("the network");
    let (path, reference) = references().remove(0);
    let picture = pixels(&path);
    let whole = embedder.embed_whole(&picture).expect("a description");
    check("whole", &path, &whole, &reference["gem"]);
    let windows = embedder
        .embed_windows(&picture)
        .expect("a description")
        .windows;
    assert!(windows.len() > 5, "whole and crops at two scales");
}
