use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;
use proptest::prelude::*;
use scraper::{Html, Selector};
use serde_json::json;

use super::super::{THUMBNAIL_SIDE_PX, samples, thumbnail};
use super::*;
use crate::domain::{Finding, Listing};

fn jpeg() -> Vec<u8> {
    thumbnail(&RgbImage::new(64, 48), THUMBNAIL_SIDE_PX).expect("a thumbnail")
}

fn thumbnails() -> Thumbnails<'static> {
    Thumbnails {
        photos: Box::new(|_| Some(jpeg())),
        assets: Box::new(|id| (id == AssetId(7)).then(jpeg)),
    }
}

fn page_of(scan: &[ScannedPhoto], max_findings: usize) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.html");
    let options = HtmlOptions {
        source: "listings.jsonl".into(),
        made_at: "24 November 2026, 09:30 UTC".into(),
        max_findings,
        page_findings: PAGE_FINDINGS,
    };
    let mut report = Box::new(HtmlReport::new(&path, options, thumbnails()).expect("creatable"));
    let mut summary = Summary {
        elapsed: Duration::from_secs(2),
        ..Summary::default()
    };
    for scanned in scan {
        summary.add(scanned);
        report.write(scanned).expect("memory");
    }
    report.finish(&summary).expect("finished");
    std::fs::read_to_string(&path).expect("there")
}

/// The parsed page; fails when a tag is not closed, or closed twice.
fn parsed(page: &str) -> Html {
    let parsed = Html::parse_document(page);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    parsed
}

fn count(page: &Html, selector: &str) -> usize {
    page.select(&Selector::parse(selector).expect("a selector"))
        .count()
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    page.select(&Selector::parse(selector).expect("a selector"))
        .map(|node| node.text().collect())
        .collect()
}

#[test]
fn a_page_shows_the_findings_and_the_failures() {
    let text = page_of(&samples::scan(), 100);
    let page = parsed(&text);
    assert_eq!(count(&page, "article"), 4);
    assert_eq!(count(&page, "article rect.box"), 4);
    // One asset of two has a picture; it stands once and is referred to twice.
    assert_eq!(count(&page, "defs image"), 1);
    assert_eq!(count(&page, "article use"), 2);
    assert_eq!(texts(&page, ".tiles .n"), ["1", "1", "2", "1"]);
    assert_eq!(count(&page, ".failures tbody tr"), 1);
    let titles = texts(&page, ".title");
    assert!(
        titles.contains(&"Oat drink <b>6 x 1 l</b> & more".to_owned()),
        "{titles:?}"
    );
}

#[test]
fn empty_scans_make_a_page_too() {
    let text = page_of(&[], 100);
    let page = parsed(&text);
    assert_eq!((count(&page, "article"), count(&page, "form")), (0, 0));
    assert!(text.contains("Nothing registered was found"));
}

#[test]
fn the_page_says_what_it_leaves_out() {
    let text = page_of(&samples::scan(), 1);
    let page = parsed(&text);
    assert_eq!(count(&page, "article"), 1);
    assert!(
        text.contains("1 most probable of 4 findings; 3 less probable"),
        "{text}"
    );
}

#[test]
fn many_findings_stand_on_linked_pages_and_old_pages_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("my report #1.html");
    let write = |n_photos: usize| {
        let options = HtmlOptions {
            source: "listings.jsonl".into(),
            made_at: "now".into(),
            max_findings: MAX_FINDINGS,
            page_findings: 100,
        };
        let report = HtmlReport::new(&path, options, thumbnails());
        let mut report = Box::new(report.expect("creatable"));
        let mut summary = Summary::default();
        for scanned in samples::scan().iter().cycle().step_by(5).take(n_photos) {
            summary.add(scanned);
            report.write(scanned).expect("memory");
        }
        report.finish(&summary).expect("finished");
    };
    write(5_000);
    // Every page but the ends is found from the one before, and all cards are on them, once.
    let (mut at, mut n_cards, mut n_pages) = (path.clone(), 0, 0);
    loop {
        let text = std::fs::read_to_string(&at).expect("a page");
        assert!(text.len() < 1 << 20, "{} bytes", text.len());
        let page = parsed(&text);
        n_pages += 1;
        n_cards += count(&page, "article");
        let summaries = count(&page, ".tiles");
        assert_eq!(summaries, usize::from(n_pages == 1));
        assert_eq!(count(&page, "nav.pages"), 2);
        let next = Selector::parse("a[rel=next]").expect("a selector");
        let Some(link) = page.select(&next).next() else {
            break;
        };
        let href = link.attr("href").expect("an address");
        let decoded = percent_encoding::percent_decode_str(href).decode_utf8();
        at = at.with_file_name(decoded.expect("UTF-8").as_ref());
    }
    assert_eq!((n_pages, n_cards), (100, 10_000));
    write(51);
    let pages = || std::fs::read_dir(folder.path().join("my report #1.pages"));
    assert_eq!(pages().expect("a folder").count(), 1);
    write(5);
    assert!(pages().is_err());
}

#[test]
fn the_page_loads_nothing_and_runs_only_its_script() {
    let text = page_of(&samples::scan(), 100);
    let page = parsed(&text);
    let policy = page
        .select(&Selector::parse("meta[http-equiv=Content-Security-Policy]").expect("a selector"))
        .next()
        .and_then(|meta| meta.attr("content"))
        .expect("a policy");
    assert!(policy.starts_with("default-src 'none'; img-src data:;") && !policy.contains("unsafe"));
    // An inline style would be refused by the policy.
    assert_eq!(count(&page, "[style]"), 0);
    assert_eq!((count(&page, "script"), count(&page, "style")), (1, 1));
    for (element, directive) in [("script", "script-src"), ("style", "style-src")] {
        let content = texts(&page, element).remove(0);
        let allowed = format!("{directive} {}", page::csp_hash(&content));
        assert!(
            policy.contains(&allowed),
            "{element} is refused by {policy}"
        );
    }
    assert_eq!(count(&page, "[src], link, iframe, object, embed"), 0);
    let references = Selector::parse("image, use").expect("a selector");
    for node in page.select(&references) {
        let href = node.attr("href").expect("a reference");
        assert!(href.starts_with("data:image/jpeg;base64,") || href.starts_with('#'));
    }
}

#[test]
fn only_web_addresses_are_links() {
    let mut scanned = samples::scan().remove(0);
    let listing = |url: &str| {
        Arc::new(Listing {
            other: serde_json::Map::from_iter([("url".into(), json!(url))]),
            ..Listing::default()
        })
    };
    for (url, is_link) in [
        ("https://shop.example/1?a=1&b=\"2\"", true),
        ("HTTP://shop.example", true),
        ("javascript:alert(1)", false),
        (" java\nscript:alert(1)", false),
        ("data:text/html,x", false),
    ] {
        scanned.listing = listing(url);
        let page = parsed(&page_of(&[scanned.clone()], 1));
        assert_eq!(count(&page, "article a"), usize::from(is_link), "{url}");
    }
}

/// A scan whose every text is `text`.
fn scan_of(text: &str) -> Vec<ScannedPhoto> {
    let mut scan = samples::scan();
    let listing: Listing = serde_json::from_value(json!({
        "listing_id": text, "title": text, "url": text, "price": text, "marketplace": text,
        "x": text, "seller": {"id": text, "name": text, "country": text, "y": text}
    }))
    .expect("a listing");
    scan[0].listing = Arc::new(listing);
    scan[0].photo = text.into();
    let photo = scan[0].outcome.as_mut().expect("a verdict");
    photo.findings = vec![Finding {
        asset: text.into(),
        brand: text.into(),
        reasons: vec![text.into()],
        ..samples::finding()
    }];
    scan[4].outcome = Err(text.into());
    scan
}

#[test]
fn no_text_becomes_markup() {
    let hostile =
        "\"'><script>alert(1)</script><img src=x onerror=alert(1)></style></title>{{7*7}}<!--";
    let page = parsed(&page_of(&scan_of(hostile), 100));
    assert_eq!((count(&page, "script"), count(&page, "img")), (1, 0));
    assert_eq!(texts(&page, "article .title")[0], hostile);
    assert_eq!(texts(&page, ".failures tbody td")[2], hostile);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_text_leaves_the_page_whole(text in "[\\PC<>&\"'/=-]{0,40}") {
        let page = parsed(&page_of(&scan_of(&text), 100));
        prop_assert_eq!(count(&page, "script"), 1);
        prop_assert_eq!(count(&page, "article"), 3);
        prop_assert_eq!(&texts(&page, "article .reasons li")[0], &text);
    }
}
