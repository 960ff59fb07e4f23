use super::*;
use proptest::prelude::*;

/// Words in one row, far apart: nothing runs on into another.
fn read(texts: &[&str]) -> Vec<ReadWord> {
    texts
        .iter()
        .enumerate()
        .map(|(i, text)| {
            word(
                text,
                500.0 * i as f32,
                0.0,
                20.0 * text.chars().count() as f32,
                30.0,
            )
        })
        .collect()
}

fn word(text: &str, x: f32, y: f32, w: f32, h: f32) -> ReadWord {
    ReadWord {
        text: text.to_owned(),
        confidence: 0.95,
        quad: [[x, y], [x + w, y], [x + w, y + h], [x, y + h]],
    }
}

fn best(marks: &[&str], texts: &[&str]) -> Option<WordMatch> {
    WordMarks::new(marks).best_match(&read(texts))
}

#[test]
fn the_same_word_is_found_however_it_is_written() {
    for (mark, text) in [
        ("Starbucks", "STARBUCKS"),
        ("Coca-Cola", "coca cola®"),
        ("CocaCola", "Coca-Cola™"),
        ("McDonald's", "McDONALD’S"),
        ("Citroën", "CITROEN"),
        ("Gräddfil", "GRÃDDFIL"),
        ("Søren Weiß", "soren weiss"),
        ("The North Face", "THE NORTH FACE"),
        ("BMW", "The BMW 320i"),
        ("H&M", "H&M"),
        ("ＳＯＮＹ", "sony"),
        ("星巴克", "星巴克"),
        ("ΑΘΗΝΑ", "Αθήνα"),
    ] {
        let found = best(&[mark], &[text]).unwrap_or_else(|| panic!("{mark} in {text}"));
        assert!(found.exact && found.edit_distance == 0, "{found:?}");
        assert_eq!(found.similarity, 1.0);
        assert!(!found.near_miss());
    }
}

#[test]
fn look_alikes_are_cheap_but_not_exact() {
    for text in ["C0CA-C0LA", "Coca-Co1a", "COCA-COIA"] {
        let found = best(&["Coca-Cola"], &[text]).unwrap();
        assert!(!found.exact && found.edit_distance == 0 && !found.near_miss());
        assert!(
            found.similarity > 0.9 && found.similarity < 1.0,
            "{found:?}"
        );
    }
}

#[test]
fn altered_words_are_near_misses() {
    for (mark, text, edits) in [
        ("Adidas", "ADIBAS", 1),
        ("Pepsi", "PAIPSI", 2),
        ("Starbucks", "Starducks", 1),
        ("Panasonic", "Panasoanic", 1),
        ("Samsung", "SMASUNG", 1),
    ] {
        let found = best(&[mark], &[text]).unwrap_or_else(|| panic!("{mark} in {text}"));
        assert!(found.near_miss() && !found.exact, "{found:?}");
        assert_eq!(found.edit_distance, edits, "{found:?}");
    }
}

#[test]
fn cut_off_words_and_other_marks_are_no_near_misses() {
    for text in ["CocaCol", "oca Cola"] {
        let found = best(&["Coca-Cola"], &[text]).unwrap();
        assert!(found.is_part && !found.near_miss(), "{found:?}");
    }
    let marks = WordMarks::new(&["Intel", "Infer"]);
    let found = marks.matches(&read(&["intel"]));
    assert_eq!(found.iter().map(|m| m.mark).collect::<Vec<_>>(), [0]);
}

#[test]
fn other_words_are_not_matched() {
    for (mark, text) in [
        ("Coors", "doors"),
        ("Nike", "bike"),
        ("Nike", "Mike"),
        ("BMW", "BMX"),
        ("HP", "shop"),
        ("Apple", "pineapple"),
        ("Ford", "Oxford"),
        ("Arla", "Carla's"),
        ("X", "X"),
        ("®", "®"),
        ("Fila", "a f i"),
        ("1664", "1665"),
    ] {
        assert_eq!(best(&[mark], &[text]), None, "{mark} in {text}");
    }
}

#[test]
fn addresses_count_only_for_marks_that_are_one() {
    for text in [
        "www.adidas.com",
        "http://adidas.com/shoes",
        "info@adidas.com",
        "ADIDAS.COM",
        "info @ adidas",
        "@adidas",
        "www. adidas.de",
    ] {
        assert_eq!(best(&["adidas"], &[text]), None, "{text}");
    }
    assert!(best(&["Booking.com"], &["BOOKING.COM"]).unwrap().exact);
    assert!(best(&["adidas"], &["adidas. com"]).unwrap().exact);
}

#[test]
fn words_are_joined_where_boxes_align() {
    let stacked = [
        word("GOD", 10.0, 10.0, 80.0, 30.0),
        word("MORGON", 0.0, 45.0, 110.0, 30.0),
    ];
    let beside = [
        word("STAR", 0.0, 0.0, 80.0, 30.0),
        word("BUCKS", 90.0, 4.0, 100.0, 30.0),
    ];
    let apart = [
        word("STAR", 0.0, 0.0, 80.0, 30.0),
        word("BUCKS", 300.0, 4.0, 100.0, 30.0),
    ];
    let unequal = [
        word("STAR", 0.0, 0.0, 80.0, 100.0),
        word("BUCKS", 90.0, 4.0, 100.0, 20.0),
    ];
    let spelled: Vec<ReadWord> = "FIAT"
        .chars()
        .enumerate()
        .map(|(i, c)| word(&c.to_string(), 40.0 * i as f32, 6.0 * i as f32, 20.0, 30.0))
        .collect();
    let marks = WordMarks::new(&["God Morgon", "Starbucks", "Fiat"]);
    let found = marks.best_match(&stacked).unwrap();
    assert!(found.mark == 0 && found.exact);
    assert_eq!(
        found.quad,
        [[0.0, 10.0], [110.0, 10.0], [110.0, 75.0], [0.0, 75.0]]
    );
    assert_eq!(marks.best_match(&beside).map(|m| m.mark), Some(1));
    assert_eq!(marks.best_match(&apart), None);
    assert_eq!(marks.best_match(&unequal), None);
    assert_eq!(marks.best_match(&spelled).map(|m| m.mark), Some(2));
}

#[test]
fn curved_writing_is_joined_along_its_bend() {
    // Three pieces on a circle, each turned by 30° from the one before.
    let piece = |text: &str, x: f32, y: f32, degrees: f32| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let at = |along: f32, across: f32| {
            [
                x + along * cos - across * sin,
                y + along * sin + across * cos,
            ]
        };
        ReadWord {
            quad: [at(0.0, 0.0), at(60.0, 0.0), at(60.0, 20.0), at(0.0, 20.0)],
            ..word(text, 0.0, 0.0, 0.0, 0.0)
        }
    };
    let words = [
        piece("STA", 0.0, 35.0, -30.0),
        piece("RBU", 60.0, 0.0, 0.0),
        piece("CKS", 130.0, 0.0, 30.0),
    ];
    assert!(
        WordMarks::new(&["Starbucks"])
            .best_match(&words)
            .unwrap()
            .exact
    );
}

#[test]
fn parts_of_longer_words_count_when_the_rest_is_explained() {
    let explained = best(&["Starbucks"], &["STARBUCKSCOFFEE"]).unwrap();
    assert!(explained.is_part && explained.similarity >= STRONG);
    let unexplained = best(&["Starbucks"], &["qzxstarbuckswvk"]).unwrap();
    assert!(unexplained.similarity < STRONG);
    let cut_off = best(&["Starbucks"], &["TARBUC"]).unwrap();
    assert!(cut_off.similarity < STRONG && !cut_off.exact);
    let beginning = best(&["Starbucks"], &["STARB"]).unwrap();
    assert!(beginning.is_part && !beginning.near_miss());
}

#[test]
fn ordinary_short_and_doubtful_words_do_not_stand_alone() {
    assert!(best(&["Express"], &["EXPRESS"]).unwrap().strength() < STRONG);
    assert!(best(&["Express"], &["EXPRESS"]).unwrap().is_common_word);
    assert!(best(&["HP"], &["hp"]).unwrap().strength() < STRONG);
    assert!(best(&["Vodafone"], &["vodafone"]).unwrap().strength() >= STRONG);
    let mut doubtful = read(&["vodafone"]);
    doubtful[0].confidence = 0.3;
    let found = WordMarks::new(&["Vodafone"]).best_match(&doubtful).unwrap();
    assert!(found.exact && found.strength() < STRONG);
}

#[test]
fn every_mark_is_reported_once_strongest_first() {
    let marks = WordMarks::new(&["Oatly", "Arla", "ARLA", "Valio"]);
    let found = marks.matches(&read(&["Arla", "Valia", "arla"]));
    let order: Vec<usize> = found.iter().map(|m| m.mark).collect();
    assert_eq!(order, [1, 3]);
    assert_eq!(marks.same_spelling(1), [1, 2]);
    assert_eq!(marks.same_spelling(2), [1, 2]);
    assert_eq!(marks.same_spelling(9), [] as [usize; 0]);
}

#[test]
fn a_page_of_text_among_many_marks_ends_soon() {
    let marks: Vec<String> = (0..10_000).map(|i| format!("mark{i:05}tail")).collect();
    let marks = WordMarks::new(&marks);
    let line = "lorem ipsum dolor sit amet mark00017tail ".repeat(40);
    let page: Vec<ReadWord> = (0..50)
        .map(|i| word(&line, 0.0, 32.0 * i as f32, 900.0, 30.0))
        .collect();
    let started = std::time::Instant::now();
    assert_eq!(marks.best_match(&page).map(|m| m.mark), Some(17));
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn any_text_is_compared_without_panic(
        marks in prop::collection::vec(".{0,12}", 0..6),
        texts in prop::collection::vec(".{0,24}", 0..6),
        corners in prop::collection::vec(prop::num::f32::ANY, 8),
        confidence in prop::num::f32::ANY,
    ) {
        let quad = [0, 2, 4, 6].map(|i| [corners[i], corners[i + 1]]);
        let words: Vec<ReadWord> = texts
            .into_iter()
            .map(|text| ReadWord { text, confidence, quad })
            .collect();
        for found in WordMarks::new(&marks).matches(&words) {
            prop_assert!((0.0..=1.0).contains(&found.similarity));
            prop_assert!((0.0..=1.0).contains(&found.strength()));
            prop_assert!(found.mark < marks.len());
        }
    }

    #[test]
    fn a_mark_is_found_in_its_own_name(mark in "[A-Z][a-z]{4,9}( [A-Z][a-z]{2,6})?") {
        // "wwwbrand": an address read without its dot.
        prop_assume!(!mark.starts_with("Www"));
        let found = WordMarks::new(&[&mark]).best_match(&read(&[&mark])).unwrap();
        prop_assert!(found.exact && found.similarity == 1.0);
    }

    #[test]
    fn one_changed_letter_lowers_likeness_but_is_found(
        mark in "[bcdfghj][aeou][kmnprt][aeou][kmnprt][aeou]",
        at in 1usize..5,
    ) {
        let mut altered: Vec<char> = mark.chars().collect();
        altered[at] = 'x';
        let altered: String = altered.into_iter().collect();
        let found = best(&[&mark], &[&altered]);
        prop_assume!(!is_common_word(&altered));
        let found = found.unwrap();
        prop_assert!(found.similarity >= STRONG && found.similarity < 1.0);
        prop_assert_eq!(found.edit_distance, 1);
    }
}
