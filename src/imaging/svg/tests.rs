use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::Rgb;

use super::super::{Picture, decode, decode_reference};
use super::*;

const OPEN: &str = "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' viewBox='0 0 100 50'>";

fn svg(body: &str) -> Vec<u8> {
    format!("{OPEN}{body}</svg>").into_bytes()
}

fn drawn(body: &str) -> Picture {
    decode(&svg(body), &DecodeLimits::default()).expect("a drawing")
}

fn refused(text: &[u8]) -> SvgError {
    let start = Instant::now();
    let outcome = decode(text, &DecodeLimits::default());
    assert!(start.elapsed().as_secs() < 8, "took {:?}", start.elapsed());
    match outcome {
        Err(ImagingError::Svg(error)) => error,
        other => panic!("not refused: {:?}", other.map(|p| p.original_size)),
    }
}

fn n_dark(picture: &Picture) -> usize {
    picture.pixels.pixels().filter(|p| p.0 < [128; 3]).count()
}

#[test]
fn fills_the_longest_side_and_keeps_transparency() {
    let body = "<rect width='50' height='50' fill='#c00000'/>";
    let picture = drawn(body);
    assert_eq!(
        (picture.pixels.dimensions(), picture.original_size),
        ((512, 256), [100, 50])
    );
    assert_eq!(picture.pixels.get_pixel(10, 10), &Rgb([192, 0, 0]));
    assert_eq!(picture.pixels.get_pixel(500, 10), &Rgb([255; 3]));
    let reference = decode_reference(&svg(body), &DecodeLimits::default()).expect("a drawing");
    assert!(reference.is_transparent());
}

#[test]
fn svgz_is_unpacked_within_bounds() {
    let pack = |text: &[u8]| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(text).expect("memory");
        packer.finish().expect("memory")
    };
    let packed = pack(&svg("<rect width='9' height='9'/>"));
    assert!(decode(&packed, &DecodeLimits::default()).is_ok());
    assert!(matches!(
        refused(&packed[..packed.len() / 2]),
        SvgError::BadGzip(_)
    ));
    let bomb = pack(&vec![b' '; MAX_SVG_BYTES * 4]);
    assert!(matches!(refused(&bomb), SvgError::TooManyBytes { .. }));
}

#[test]
fn text_never_vanishes_for_want_of_a_font() {
    for family in [
        "",
        "font-family='Helvetica Neue'",
        "font-family='No Such Font, serif'",
        "style='font-family:cursive'",
    ] {
        let picture = drawn(&format!(
            "<text x='5' y='30' font-size='20' {family}>ACME</text>"
        ));
        assert!(n_dark(&picture) > 2000, "{family}");
    }
    let regular = n_dark(&drawn("<text x='5' y='30' font-size='20'>ACME</text>"));
    let bold = n_dark(&drawn(
        "<text x='5' y='30' font-size='20' font-weight='bold'>ACME</text>",
    ));
    assert!(bold > regular * 5 / 4, "bold {bold}, regular {regular}");
    assert!(n_dark(&drawn("<text x='5' y='30' font-size='20'>سلام</text>")) > 500);
}

#[test]
fn reads_no_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("secret.png");
    image::RgbImage::new(64, 64).save(&path).expect("a file");
    for href in [
        path.display().to_string(),
        format!("file://{}", path.display()),
        "http://127.0.0.1:9/a.png".into(),
    ] {
        let picture = drawn(&format!(
            "<image xlink:href='{href}' width='100' height='50'/>"
        ));
        assert_eq!(n_dark(&picture), 0, "{href}");
    }
}

#[test]
fn embedded_pictures_are_drawn_within_bounds() {
    use base64::Engine as _;
    let embed = |side: u32, n: usize| {
        let mut png = Vec::new();
        image::RgbImage::new(side, side)
            .write_to(&mut std::io::Cursor::new(&mut png), ImageFormat::Png)
            .expect("memory");
        let data = base64::engine::general_purpose::STANDARD.encode(png);
        let images = (0..n).fold(String::new(), |mut all, i| {
            // Different bytes each, so that nothing can be cached.
            write!(all, "<image id='i{i}' x='{}' xlink:href='data:image/png;base64,{data}' width='50' height='50'/>", i * 50).expect("memory");
            all
        });
        drawn(&images)
    };
    assert_eq!(n_dark(&embed(64, 1)), 256 * 256);
    // Two of 25 million pixels: the first is within the bound of 32 million, both are not.
    assert_eq!(n_dark(&embed(5000, 2)), 256 * 256);
}

#[test]
fn entities_name_text_but_do_not_explode() {
    let ns = "<!DOCTYPE svg [<!ENTITY ns_svg 'http://www.w3.org/2000/svg'>]><svg xmlns='&ns_svg;' viewBox='0 0 9 9'><rect width='9' height='9'/></svg>";
    assert!(decode(ns.as_bytes(), &DecodeLimits::default()).is_ok());
    let laughs = "<!DOCTYPE svg [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><svg xmlns='http://www.w3.org/2000/svg'>&b;</svg>";
    assert!(matches!(
        refused(laughs.as_bytes()),
        SvgError::Entities { .. }
    ));
    let markup = "<!DOCTYPE svg [<!ENTITY a '<g><g></g></g>'>]><svg xmlns='http://www.w3.org/2000/svg'>&a;</svg>";
    assert!(matches!(
        refused(markup.as_bytes()),
        SvgError::Entities { .. }
    ));
    let long = format!(
        "<!DOCTYPE svg [<!ENTITY a '{}'>]>{OPEN}<text>{}</text></svg>",
        "x".repeat(10_000),
        "&a;".repeat(10_000)
    );
    assert!(matches!(
        refused(long.as_bytes()),
        SvgError::Entities { .. }
    ));
}

#[test]
fn deep_and_wide_drawings_are_refused_not_fatal() {
    // Just within the bound on elements: the XML parser recurses 49,999 levels on its own thread.
    let deep = |n: usize| format!("{OPEN}{}{}</svg>", "<g>".repeat(n), "</g>".repeat(n));
    assert!(matches!(
        refused(deep(49_998).as_bytes()),
        SvgError::TooMany { .. }
    ));
    assert!(matches!(
        refused(deep(1_000_000).as_bytes()),
        SvgError::TooMany {
            what: "elements",
            ..
        }
    ));
    assert!(decode(deep(150).as_bytes(), &DecodeLimits::default()).is_ok());
    let attributes = (0..300).fold(String::new(), |mut all, i| {
        write!(all, " a{i}='1'").expect("memory");
        all
    });
    assert!(matches!(
        refused(&svg(&format!("<g{attributes}/>"))),
        SvgError::TooMany { .. }
    ));
}

/// `n` elements of `kind`, each holding two shapes that refer to the next one.
fn chain(kind: &str, refer: &str, n: usize) -> String {
    (0..n).fold(String::new(), |mut all, i| {
        let next = refer.replace('N', &(i + 1).to_string());
        let shape = format!("<rect width='40' height='40' fill='#123' {next}/>");
        write!(
            all,
            "<{kind} id='e{i}' width='9' height='9'>{shape}{shape}</{kind}>"
        )
        .expect("memory");
        all
    }) + &format!("<rect width='90' height='40' {}/>", refer.replace('N', "0"))
}

#[test]
fn references_do_not_multiply_without_end() {
    let uses = (0..12).fold(
        "<g id='u0'><rect width='9' height='9'/></g>".to_owned(),
        |mut all, i| {
            let used = format!("<use xlink:href='#u{i}'/>").repeat(10);
            write!(all, "<g id='u{}'>{used}</g>", i + 1).expect("memory");
            all
        },
    );
    assert!(matches!(refused(&svg(&uses)), SvgError::TooMany { .. }));
    for (kind, refer) in [
        ("mask", "mask='url(#eN)'"),
        ("clipPath", "clip-path='url(#eN)'"),
        ("pattern", "style='fill:url(#eN)'"),
        ("mask", "class='mN'"),
    ] {
        let rules = (0..40).fold("<style>".to_owned(), |mut all, i| {
            write!(all, ".m{i}{{mask:url(#e{i})}}").expect("memory");
            all
        });
        let body = format!("{rules}</style>{}", chain(kind, refer, 40));
        assert!(
            matches!(refused(&svg(&body)), SvgError::TooMany { .. }),
            "{kind}"
        );
    }
    // A long chain without branches would recurse once a link.
    let links = (0..20_000).fold(String::new(), |mut all, i| {
        write!(
            all,
            "<mask id='e{i}'><rect mask='url(#e{})'/></mask>",
            i + 1
        )
        .expect("memory");
        all
    });
    assert!(matches!(refused(&svg(&links)), SvgError::TooMany { .. }));
}

#[test]
fn cycles_are_refused_not_followed() {
    let uses = "<g id='a'><use xlink:href='#b'/></g><g id='b'><use xlink:href='#a'/></g>";
    assert!(matches!(refused(&svg(uses)), SvgError::Malformed(_)));
    // The renderer cuts these and draws the rest.
    let masks = "<mask id='a'><rect mask='url(#a)'/></mask><rect width='50' height='50'/>";
    assert_eq!(n_dark(&drawn(masks)), 256 * 256);
}

#[test]
fn many_clips_by_class_are_ordinary() {
    // As Illustrator writes them.
    let (mut rules, mut body) = ("<style>".to_owned(), String::new());
    for i in 0..60 {
        write!(rules, ".cls-{i}{{clip-path:url(#clip-{i});}}").expect("memory");
        write!(body, "<clipPath id='clip-{i}'><rect x='{i}' width='1' height='50'/></clipPath><g class='cls-{i}'><rect width='100' height='50'/></g>").expect("memory");
    }
    assert!(n_dark(&drawn(&format!("{rules}</style>{body}"))) > 200 * 256 * 6 / 5);
}

#[test]
fn costly_pixels_are_refused() {
    let filtered = |steps: &str| {
        svg(&format!(
            "<filter id='f'>{steps}</filter><rect width='100' height='50' filter='url(#f)'/>"
        ))
    };
    let noise = "<feTurbulence numOctaves='1000000000' baseFrequency='.1'/>";
    assert!(matches!(
        refused(&filtered(noise)),
        SvgError::TooMuchWork { .. }
    ));
    assert!(matches!(
        refused(&filtered("<feMorphology radius='40'/>")),
        SvgError::TooMuchWork { .. }
    ));
    let layers = "<g opacity='.5'><rect width='100' height='50'/></g>".repeat(9000);
    assert!(matches!(
        refused(&svg(&layers)),
        SvgError::TooMuchWork { .. }
    ));
    let tile = "<pattern id='p' width='1000' height='1000'><rect width='9' height='9'/></pattern><rect width='100' height='50' fill='url(#p)'/>";
    assert!(matches!(refused(&svg(tile)), SvgError::TooMuchWork { .. }));
    let inputs = "<feMergeNode in='SourceGraphic'/>".repeat(2000);
    assert!(matches!(
        refused(&filtered(&format!("<feMerge>{inputs}</feMerge>"))),
        SvgError::TooMuchWork { .. }
    ));
    let shadow = "<feGaussianBlur stdDeviation='2'/><feOffset dx='1' result='shadow'/><feMerge><feMergeNode in='shadow'/><feMergeNode in='SourceGraphic'/></feMerge>";
    assert!(decode(&filtered(shadow), &DecodeLimits::default()).is_ok());
}

#[test]
fn odd_sizes_are_drawn() {
    let sized = |size: &str| {
        format!("<svg xmlns='http://www.w3.org/2000/svg' {size}><rect width='9' height='9'/></svg>")
    };
    for size in [
        "width='1' height='1000000'",
        "width='0.001' height='0.002'",
        "width='1e9' height='1e9'",
    ] {
        let picture = decode(sized(size).as_bytes(), &DecodeLimits::default()).expect(size);
        assert!(
            picture.pixels.width().max(picture.pixels.height()) == 512,
            "{size}"
        );
    }
    assert!(matches!(
        refused(sized("width='0' height='0'").as_bytes()),
        SvgError::Malformed(_)
    ));
}

#[test]
fn nothing_is_begun_while_several_run_late() {
    static N_LATE: AtomicUsize = AtomicUsize::new(0);
    let short = Duration::from_millis(1);
    let ends: Vec<_> = (0..MAX_LATE)
        .map(|_| {
            let (end, ended) = mpsc::channel::<()>();
            let outcome = draw_apart(&N_LATE, short, move || {
                let _ = ended.recv();
                Ok(())
            });
            assert!(matches!(outcome, Err(SvgError::TooSlow { limit_ms: 1 })));
            end
        })
        .collect();
    let quick = || draw_apart(&N_LATE, TIME_LIMIT, || Ok(7));
    assert!(matches!(quick(), Err(SvgError::RendererFailed)));
    drop(ends);
    while N_LATE.load(Ordering::SeqCst) > 0 {
        thread::yield_now();
    }
    assert!(matches!(quick(), Ok(7)));
    assert!(matches!(
        draw_apart(&N_LATE, TIME_LIMIT, || -> Result<(), _> {
            panic!("of the test")
        }),
        Err(SvgError::RendererFailed)
    ));
    assert_eq!(N_LATE.load(Ordering::SeqCst), 0);
}
