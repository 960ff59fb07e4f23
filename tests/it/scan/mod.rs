//! Scans as schedulers run them: real files, real processes, real kills.

mod addresses;
mod outputs;
mod queue;
mod repeats;
mod resume;
mod shards;
mod sources;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::cli::{COPY, PACK, Program, json_lines};

/// A home with one pack registered, and a folder `photos/` beside it.
struct Scene {
    program: Program,
}

const NOTHING: &str = "fixtures/grocery/photos/nothing-1.jpg";
/// Enough of the pipeline to find a copy; reading words takes longest.
const QUICK: [&str; 2] = ["--stages", "whole,windows,cells,hash,geometry"];

impl Scene {
    fn new() -> Self {
        let program = Program::new();
        fs::create_dir(program.path("photos")).expect("a folder");
        let scene = Self { program };
        let registered = [PACK, "--brand", "Oatly", "--kind", "packaging"];
        scene
            .program
            .done(&[&["register"][..], &registered].concat());
        scene
    }

    /// A photo with the pixels of `original` and bytes of its own.
    fn photo(&self, name: &str, original: &str) -> PathBuf {
        let path = self.program.path("photos").join(name);
        let mut bytes = fs::read(original).expect("a fixture");
        // What follows the end of a JPEG is not looked at.
        bytes.extend_from_slice(name.as_bytes());
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// A manifest of `n` listings, every fourth with the copy, every seventh with two photos.
    fn manifest(&self, n: usize) -> String {
        let mut lines = String::new();
        for idx in 0..n {
            let original = if idx % 4 == 0 { COPY } else { NOTHING };
            let mut photos = vec![self.photo(&format!("{idx}.jpg"), original)];
            if idx % 7 == 0 {
                photos.push(self.photo(&format!("{idx}-b.jpg"), NOTHING));
            }
            let line = json!({
                "listing_id": format!("L-{idx}"), "photos": photos, "title": format!("No. {idx}"),
                "seller": {"id": format!("s-{}", idx % 5)}, "colour": "red",
            });
            lines.push_str(&format!("{line}\n"));
        }
        self.write("listings.jsonl", &lines)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.program.path(name);
        fs::write(&path, text).expect("a file");
        text_of(&path)
    }

    fn path(&self, name: &str) -> String {
        text_of(&self.program.path(name))
    }

    /// `scan SOURCE --out OUT`, quickly, with more flags.
    fn arguments<'a>(source: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["scan", source, "--out", out][..], &QUICK, more].concat()
    }

    fn summary(&self, name: &str) -> Value {
        let path = self.program.path(&format!("{name}.summary.json"));
        let text = fs::read(&path).expect("a summary");
        serde_json::from_slice(&text).expect("JSON")
    }

    fn rows(&self, name: &str) -> Vec<Value> {
        json_lines(&self.program.path(name))
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// A tar archive of files.
pub fn write_tar(writer: impl Write, members: &[(&str, Vec<u8>)]) {
    let mut builder = tar::Builder::new(writer);
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, &bytes[..])
            .expect("written");
    }
    builder.finish().expect("written");
}

/// Rows without what differs from run to run.
fn lasting(rows: &[Value]) -> Vec<Value> {
    rows.iter()
        .map(|row| {
            let mut row = row.clone();
            let fields = row.as_object_mut().expect("an object");
            for name in ["timings_ms", "read_ms", "work"] {
                fields.remove(name).expect("a field");
            }
            row
        })
        .collect()
}
