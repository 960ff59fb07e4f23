use super::*;

const SMALL: Limits = Limits {
    file_bytes: 100_000,
    entries: 4,
    entry_bytes: 50_000,
    total_bytes: 60_000,
};

fn entries(all: &[(&str, &[u8])]) -> Entries {
    all.iter()
        .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
        .collect()
}

fn good() -> Vec<u8> {
    pack(
        &entries(&[("bundle.json", b"{}"), ("pictures/0a.jpg", &[7; 300])]),
        SMALL,
    )
    .expect("packed")
}

/// An archive by the library, whatever the names.
fn archive(write: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    write(&mut archive);
    archive.finish().expect("finished").into_inner()
}

fn with_entry(name: &str) -> Vec<u8> {
    archive(|a| {
        a.start_file(name, SimpleFileOptions::default())
            .expect("started");
        a.write_all(b"x").expect("written");
    })
}

fn refusal(bytes: &[u8]) -> BundleFault {
    unpack(bytes, SMALL).expect_err("hostile")
}

/// All places where `old` stands, overwritten.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    let mut n = 0;
    for at in 0..=bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
            n += 1;
        }
    }
    assert!(n > 0, "nothing to replace");
    bytes
}

#[test]
fn what_is_packed_comes_back_and_the_same_entries_give_the_same_bytes() {
    let all = entries(&[
        ("bundle.json", &[b'{'; 5000]),
        ("overlays/1.jpg", &[1, 2, 3]),
        ("photo.png", &[]),
    ]);
    let packed = pack(&all, SMALL).expect("packed");
    assert_eq!(unpack(&packed, SMALL).expect("good"), all);
    assert_eq!(pack(&all, SMALL).expect("packed"), packed);
    assert!(packed.len() < 1000, "text is compressed");
    assert_eq!(
        unpack(&pack(&Entries::new(), SMALL).expect("packed"), SMALL).expect("good"),
        Entries::new()
    );
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "../evil.txt",
        "a/../../evil.txt",
        "/etc/passwd",
        "..\\evil.txt",
        "C:\\evil.txt",
        "c:evil.txt",
        "a//b.txt",
        "./a.txt",
        "a/.hidden",
        "Photo.jpg",
        "a b.txt",
        "a\u{0}b.txt",
        "\u{202e}gpj.exe",
        "",
    ] {
        let fault = refusal(&with_entry(name));
        assert!(
            matches!(
                fault,
                BundleFault::BadName { .. } | BundleFault::BadArchive(_)
            ),
            "{name:?}: {fault}"
        );
    }
    let long = "a".repeat(MAX_NAME + 1);
    assert!(matches!(
        refusal(&with_entry(&long)),
        BundleFault::BadName { .. }
    ));
    assert!(unpack(&with_entry("a-b_c/0.9.txt"), SMALL).is_ok());
}

#[test]
fn links_and_folders_are_refused() {
    let link = archive(|a| {
        a.add_symlink("photo.jpg", "/etc/passwd", SimpleFileOptions::default())
            .expect("added");
    });
    assert!(
        matches!(refusal(&link), BundleFault::NoPlainFile { .. }),
        "{}",
        refusal(&link)
    );
    let folder = archive(|a| {
        a.add_directory("pictures", SimpleFileOptions::default())
            .expect("added");
    });
    assert!(
        matches!(
            refusal(&folder),
            BundleFault::NoPlainFile { .. } | BundleFault::BadName { .. }
        ),
        "{}",
        refusal(&folder)
    );
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let two = archive(|a| {
        for name in ["a.txt", "b.txt"] {
            a.start_file(name, SimpleFileOptions::default())
                .expect("started");
        }
    });
    let twice = replaced(&two, b"b.txt", b"a.txt");
    assert!(
        matches!(refusal(&twice), BundleFault::DuplicateName),
        "{}",
        refusal(&twice)
    );
}

#[test]
fn a_name_that_differs_between_the_two_headers_is_refused() {
    let bytes = with_entry("a.txt");
    // Only in the first header.
    let mut other = bytes.clone();
    let at = bytes.windows(5).position(|w| w == b"a.txt").expect("there");
    other[at..at + 5].copy_from_slice(b"b.txt");
    assert!(
        matches!(refusal(&other), BundleFault::BadArchive(_)),
        "{}",
        refusal(&other)
    );
}

#[test]
fn bombs_are_refused_as_declared_and_as_unpacked() {
    let zeros = |n: usize| {
        archive(|a| {
            a.start_file("a.txt", SimpleFileOptions::default())
                .expect("started");
            a.write_all(&vec![0; n]).expect("written");
        })
    };
    // 1 MB in about 1 kB.
    let bomb = zeros(1_000_000);
    assert!(bomb.len() < 3000);
    let fault = refusal(&bomb);
    assert!(
        matches!(
            fault,
            BundleFault::TooLarge {
                actual: 1_000_000,
                ..
            }
        ),
        "{fault}"
    );
    // Said to be 1,000 bytes long.
    let liar = replaced(&bomb, &1_000_000u32.to_le_bytes(), &1_000u32.to_le_bytes());
    let fault = refusal(&liar);
    assert!(
        matches!(
            fault,
            BundleFault::TooLarge { .. } | BundleFault::BadEntry { .. }
        ),
        "{fault}"
    );
    // Each is small enough, all are not.
    let many = archive(|a| {
        for name in ["a.txt", "b.txt"] {
            a.start_file(name, SimpleFileOptions::default())
                .expect("started");
            a.write_all(&vec![0; 40_000]).expect("written");
        }
    });
    assert!(matches!(
        refusal(&many),
        BundleFault::TooLarge { actual: 80_000, .. }
    ));
    let crowd = archive(|a| {
        for name in ["a", "b", "c", "d", "e"] {
            a.start_file(name, SimpleFileOptions::default())
                .expect("started");
        }
    });
    assert!(matches!(
        refusal(&crowd),
        BundleFault::TooLarge {
            unit: "entries",
            ..
        }
    ));
    assert!(matches!(
        refusal(&[0; 100_001]),
        BundleFault::TooLarge { .. }
    ));
}

#[test]
fn bytes_of_no_entry_are_refused() {
    let good = good();
    let before = [&b"#!/bin/sh\n"[..], &good].concat();
    let after = [&good[..], b"more"].concat();
    for bytes in [before, after] {
        let fault = refusal(&bytes);
        assert!(
            matches!(fault, BundleFault::HiddenBytes | BundleFault::BadArchive(_)),
            "{fault}"
        );
    }
    let commented = archive(|a| {
        a.start_file("a.txt", SimpleFileOptions::default())
            .expect("started");
        a.set_comment("hello").expect("short");
    });
    assert!(matches!(refusal(&commented), BundleFault::HiddenBytes));
    // An entry that only its first header knows of, in front of one that is listed.
    let unlisted = with_entry("a.txt");
    let n = unlisted
        .windows(4)
        .position(|w| w == b"PK\x01\x02")
        .expect("a directory");
    let hidden = [&unlisted[..n], &good].concat();
    assert!(unpack(&hidden, SMALL).is_err());
}

#[test]
fn damage_anywhere_is_noticed_or_harmless_and_never_panics() {
    let good = good();
    let contents = unpack(&good, SMALL).expect("good");
    for at in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= bit;
            if let Ok(found) = unpack(&bytes, SMALL) {
                // Times and versions in headers say nothing.
                assert_eq!(found, contents, "byte {at}");
            }
        }
        assert!(unpack(&good[..at], SMALL).is_err(), "cut at {at}");
    }
    assert!(matches!(
        refusal(b"no archive at all"),
        BundleFault::BadArchive(_)
    ));
}

#[test]
fn more_than_is_read_is_not_written_either() {
    let large = entries(&[("a.txt", &[0; 50_001])]);
    assert!(matches!(
        pack(&large, SMALL),
        Err(BundleFault::TooLarge { .. })
    ));
}
