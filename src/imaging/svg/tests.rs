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

/// What `body` has too many of.
fn refused_for(body: &str) -> &'static str {
    match refused(&svg(body)) {
        SvgError::TooMany { what, .. } => what,
        other => panic!("refused otherwise: {other:?}"),
    }
}

const EXPANDED: &str = "elements after following all references";

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
    // Of several elements with one id, the first is used.
    let decoys = (0..13).fold(String::new(), |mut all, i| {
        write!(all, "<g id='u{i}'/>").expect("memory");
        all
    });
    let uses = format!("{uses}{decoys}");
    assert_eq!(refused_for(&uses), EXPANDED);
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
fn markers_are_counted_once_a_vertex() {
    let marker = format!(
        "<marker id='m'>{}</marker>",
        "<rect width='1' height='1'/>".repeat(1000)
    );
    let path = format!("path d='M0 0h1{}'", " 1".repeat(999));
    let line = format!("points='{}'", "1 2 ".repeat(500));
    for marked in [
        format!("<{path} marker-mid='url(#m)'/>"),
        format!("<{path} style='marker-mid:url(#m)'/>"),
        format!("<{path} style='stroke:red;marker : url( &quot;#m&quot; )'/>"),
        format!("<{path} style='fill:red!importantmarker-mid:url(#m)'/>"),
        format!("<style>.a{{marker:url(#m)}}</style><{path} class='b a'/>"),
        format!("<style>/* {{ path }} */g>path{{marker-mid:url(&#10;#m)}}</style><g><{path}/></g>"),
        format!("<polyline {line} marker-mid='url(#m)'/>"),
        format!("<polygon {line} marker-mid='url(#m)'/>"),
        // Handed down by the group around, and by the one around where it is used.
        format!("<g marker-mid='url(#m)'><a><{path}/></a></g>"),
        format!("<defs><{path} id='p'/></defs><g marker-mid='url(#m)'><use href='#p'/></g>"),
        // Two vertices each, of many.
        format!(
            "<g marker-end='url(#m)'>{}</g>",
            "<line x2='9' y2='9'/>".repeat(300)
        ),
    ] {
        assert_eq!(
            refused_for(&format!("{marker}{marked}")),
            EXPANDED,
            "{marked}"
        );
    }
    // Markers that lead to each other in every order.
    let markers = (0..12).fold(String::new(), |mut all, i| {
        let ends = (0..12).fold(String::new(), |mut ends, other| {
            write!(ends, "<line x2='1' marker-end='url(#m{other})'/>").expect("memory");
            ends
        });
        write!(all, "<marker id='m{i}'>{ends}</marker>").expect("memory");
        all
    });
    assert_eq!(refused_for(&markers), EXPANDED);
}

#[test]
fn markers_are_drawn() {
    let marked = |by: &str| {
        n_dark(&drawn(&format!(
            "<marker id='marker1' markerUnits='userSpaceOnUse' markerWidth='10' markerHeight='10' refX='5' refY='5'><rect width='10' height='10'/></marker><path stroke='#000' d='M10 25h20h20h20' {by}/>"
        )))
    };
    let plain = marked("");
    for by in [
        "marker-mid='url(#marker1)'",
        "style='marker-mid:url(#marker1)'",
    ] {
        assert!(marked(by) > plain + 2 * 45 * 45, "{by}");
    }
    // An arrow's head is drawn once, however long its path.
    let head = "<rect width='1' height='1'/>".repeat(30);
    let path = format!("path d='M5 25h1{}'", " 1 -1".repeat(5000));
    for arrow in [
        format!("<{path} style='marker-start:none;marker-end:url(#marker1)'/>"),
        format!("<style>.a{{marker-end:url(#marker1)}}</style><{path} class='a'/>"),
    ] {
        drawn(&format!("<marker id='marker1'>{head}</marker>{arrow}"));
    }
}

#[test]
fn styles_are_bounded_by_all_that_they_write() {
    let fills = "fill:red;".repeat(5000);
    let elements = "<g class='b'/>".repeat(40_000);
    let styled = |sheet: &str, body: &str| refused_for(&format!("<style>{sheet}</style>{body}"));
    for sheet in [
        format!("*{{{fills}}}"),
        format!("g{{{fills}}}"),
        format!(".c,svg .b{{{fills}}}"),
        // What looks like another rule is in a comment, a string, or parentheses.
        format!(".b{{/*}} .c{{*/{fills}}}"),
        format!(".b{{x:'}} .c{{';{fills}}}"),
        format!(".b{{x:y(}} .c{{);{fills}}}"),
        format!("@x{{/*}}*/}} .c{{{fills}}}"),
        format!("*{{{}}}", "font:1px a;".repeat(20)),
        format!("{}b{{x:y}}", "a,".repeat(5000)),
    ] {
        let start = &sheet[..20];
        assert_eq!(styled(&sheet, &elements), "steps of styling", "{start}");
    }
    let masks = format!("*{{{}}}", "mask:url(#a);".repeat(5000));
    assert_eq!(
        styled(&masks, &format!("<mask id='a'/>{elements}")),
        "references"
    );
    // One long list of selectors, each with all declarations.
    let list = format!("{}a{{{fills}}}", "a,".repeat(10_000));
    assert_eq!(styled(&list, ""), "style declarations of all selectors");
    // Each use is styled anew.
    let uses = format!(
        "<g id='a'>{}</g>{}",
        "<g/>".repeat(100),
        "<use href='#a'/>".repeat(1000)
    );
    let sheet = format!("*{{{}}}", "fill:red;".repeat(200));
    assert_eq!(styled(&sheet, &uses), "steps of styling");
    // Every choice of twelve of a hundred ancestors.
    let nested = format!("{}{}", "<g>".repeat(100), "</g>".repeat(100));
    let sheet = format!("x{}{{fill:red}}", " g".repeat(12));
    assert_eq!(styled(&sheet, &nested), "steps of styling");
    // The lines up to each declaration are counted.
    let long = "fill:red;".repeat(200_000);
    assert_eq!(
        styled(&format!(".a{{{long}}}"), ""),
        "steps of reading styles"
    );
    assert_eq!(
        refused_for(&format!("<g style='{long}'/>")),
        "steps of styling"
    );
}

#[test]
fn many_classes_and_an_embedded_font_are_ordinary() {
    let mut sheet = format!(
        "/* Drawn by a program that says so at length, and doesn't stop there. */\n@font-face{{font-family:A;src:url('data:font/woff2;base64,{}')}}",
        "d09G".repeat(50_000)
    );
    let mut body = String::new();
    for i in 0..300 {
        write!(
            sheet,
            ".cls-{i},.cls-{i} > path{{fill:#000;stroke:none;font-family:A, sans-serif}}"
        )
        .expect("memory");
    }
    for i in 0..3000 {
        write!(
            body,
            "<rect class='cls-{}' x='{}' width='1' height='50'/>",
            i % 300,
            i % 100
        )
        .expect("memory");
    }
    let picture = drawn(&format!(
        "<style>{sheet}svg g .cls-1:first-child{{fill:red}}</style>{body}"
    ));
    assert!(n_dark(&picture) > 512 * 256 * 9 / 10);
}

#[test]
fn shapes_are_bounded_by_their_points() {
    const POINTS: &str = "points after following all references";
    for shape in [
        // One arc, of more curves than any memory holds.
        "<path d='M0 0A1e76 1e76 0 1 1 1e75 1e75'/>",
        "<path d='M0 0A1e28 1e28 0 1 1 1e27 1e27'/>",
        "<path d='m0,0 1,1a9.5.5 0 101e70 1e75'/>",
        "<circle r='1e38'/>",
        "<g font-size='1e38'><ellipse rx='1em' ry='1'/></g>",
    ] {
        assert_eq!(refused_for(shape), POINTS, "{shape}");
    }
    let long = format!("<path id='a' d='M0 0h{}'/>", "1 ".repeat(100_000));
    let uses = "<use href='#a'/>".repeat(200);
    assert_eq!(refused_for(&format!("{long}{uses}")), POINTS);

    let round = "<path d='M50 5a20 20 0 0120 20 20 20 0 01-20 20 20 20 0 1 1-1e-15-40z'/>";
    assert!(n_dark(&drawn(round)) > 100 * 205);
    assert!(n_dark(&drawn("<circle cx='50%' cy='50%' r='20'/>")) > 150 * 205);
}

#[test]
fn circles_that_the_parser_would_follow_are_refused() {
    let size = "width='9' height='9'";
    for body in [
        format!("<g fill='url(#p)'><pattern id='p' {size}><rect {size}/></pattern></g>"),
        format!(
            "<mask id='a'><rect {size} mask='url(#b)'/></mask><mask id='b'><rect {size} mask='url(#c)'/></mask><mask id='c'><rect {size} mask='url(#a)'/></mask>"
        ),
        format!(
            "<pattern id='p' {size}><rect {size} mask='url(#m)'/></pattern><mask id='m'><rect {size} style='fill:url(#p)'/></mask>"
        ),
        format!(
            "<filter id='f'><feImage href='#a'/></filter><g id='a'><rect {size} filter='url(#f)'/></g>"
        ),
        "<linearGradient id='a' href='#b'/><linearGradient id='b' href='#c'/><linearGradient id='c' href='#b'/>".to_owned(),
    ] {
        let used = format!("{body}<rect {size} fill='url(#p)' mask='url(#a)' filter='url(#f)'/>");
        assert_eq!(refused_for(&used), "references in a circle", "{body}");
    }
    // Each that the parser cuts takes it a walk through all elements.
    let cut = (0..1100).fold(String::new(), |mut all, i| {
        write!(
            all,
            "<pattern id='p{i}'><rect fill='url(#p{i})'/></pattern>"
        )
        .expect("memory");
        all
    });
    assert_eq!(refused_for(&cut), "circles of references");
    // Groups do hand patterns down.
    let handed_down = format!(
        "<pattern id='p' patternUnits='userSpaceOnUse' {size}><rect {size}/></pattern><g fill='url(#p)'><rect width='50' height='50'/></g>"
    );
    assert!(n_dark(&drawn(&handed_down)) > 200 * 256);
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
