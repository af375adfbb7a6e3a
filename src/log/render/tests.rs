//! What a terminal would show, and what an attacker would like to (reliability, R41).

use super::*;
use crate::log::LineSplitter;
use proptest::prelude::*;

fn render(ansi: Ansi, timestamps: Timestamps, log: &[u8], piece: usize) -> String {
    let mut out = Vec::new();
    let (mut renderer, mut splitter) = (Renderer::new(ansi, timestamps), LineSplitter::new());
    log.chunks(piece.max(1)).for_each(|piece| splitter.push(piece, &mut |piece| renderer.push(&piece, &mut out)));
    splitter.finish(&mut |piece| renderer.push(&piece, &mut out));
    match ansi {
        Ansi::Keep => String::from_utf8_lossy(&out).into_owned(),
        _ => String::from_utf8(out).expect("valid UTF-8"),
    }
}

fn strip(log: &[u8]) -> String {
    render(Ansi::Strip, Timestamps::Keep, log, 1 << 20)
}

fn html(log: &[u8]) -> String {
    render(Ansi::Html, Timestamps::Keep, log, 1 << 20)
}

#[test]
fn plain_text_is_what_a_terminal_shows() {
    for (log, shown) in [
        (&b"\x1b[32;1m$ make\x1b[0;m\n"[..], "$ make\n"),
        (b"10%\r50%\r100%\ndone\n", "100%\ndone\n"),
        (b"10%\r\nnext\r\n", "10%\nnext\n"),
        (b"10%\r", "10%"),
        (b"\x1b[0Ksection_start:1:a\r\x1b[0K\x1b[36;1mTitle\x1b[0;m\n", "Title\n"),
        (b"section_end:1:a\r\x1b[0K\nnext", "\nnext"),
        (b"gone\x1b[2Kkept\n", "kept\n"),
        (b"not gone\x1b[K\n", "not gone\n"),
        (b"a\x1b]0;title\x07b\x00c\x08d\te\x7f", "abcd\te"),
        (b"\xff\xfe \xe2\x82\xac \xe2\x82", "\u{fffd}\u{fffd} \u{20ac} \u{fffd}"),
        (b"c1 \xc2\x9b31m", "c1 31m"),
        (b"", ""),
    ] {
        assert_eq!(strip(log), shown, "{log:?}");
    }
}

#[test]
fn stamps_stay_before_what_overwrites_the_line_or_go() {
    let log = b"2026-11-20T10:00:00.123456Z 00O 10%\r100%\n2026-11-20T10:00:00.123456Z 00O section_end:1:a\r\x1b[0K\nx";
    let stamp = "2026-11-20T10:00:00.123456Z 00O ";
    assert_eq!(strip(log), format!("{stamp}100%\n{stamp}\nx"));
    assert_eq!(render(Ansi::Strip, Timestamps::Strip, log, 5), "100%\n\nx");
    let kept = render(Ansi::Keep, Timestamps::Strip, log, 5);
    assert_eq!(kept, "10%\r100%\nsection_end:1:a\r\x1b[0K\nx");
    let (mut out, mut renderer) = (Vec::new(), Renderer::new(Ansi::Keep, Timestamps::Strip));
    LineSplitter::from(1, 0, true).push(log, &mut |piece| renderer.push(&piece, &mut out));
    assert!(out.starts_with(stamp.as_bytes()), "within a line nothing is a stamp");
}

#[test]
fn entries_that_go_on_are_one_line_with_the_first_stamp() {
    let stamp = "2026-11-20T10:00:00.123456Z 01O";
    let other = "2026-11-20T10:00:00.123456Z 01E";
    let log = format!("{stamp} 10%\r\n{other} warning\n{stamp}+50%\r\n{stamp}+\x1b[32m100%\x1b[0m\n{stamp} next\n");
    assert_eq!(strip(log.as_bytes()), format!("{stamp} 100%\n{other} warning\n{stamp} next\n"));
    assert_eq!(render(Ansi::Strip, Timestamps::Strip, log.as_bytes(), 9), "100%\nwarning\nnext\n");
    assert_eq!(
        render(Ansi::Html, Timestamps::Strip, log.as_bytes(), 9),
        "<span class=\"fg2\">100%</span>\nwarning\nnext\n"
    );
    let kept = render(Ansi::Keep, Timestamps::Strip, log.as_bytes(), 9);
    assert_eq!(kept, "10%\r50%\r\x1b[32m100%\x1b[0m\nwarning\nnext\n");
}

#[test]
fn colours_are_classes_and_no_span_goes_beyond_its_line() {
    for (log, shown) in [
        (
            &b"\x1b[31mred\nstill\x1b[0m not\n"[..],
            "<span class=\"fg1\">red</span>\n<span class=\"fg1\">still</span> not\n",
        ),
        (
            b"\x1b[31m\x1b[1mboth\x1b[22mred\x1b[39m.",
            "<span class=\"b fg1\">both</span><span class=\"fg1\">red</span>.",
        ),
        (b"\x1b[31mgone\rkept", "<span class=\"fg1\">kept</span>"),
        (b"a < b && \"c\" 'd' >\n", "a &lt; b &amp;&amp; &quot;c&quot; &#39;d&#39; &gt;\n"),
        (b"\x1b[31m\n\x1b[0m\n", "\n\n"),
        (b"\x1b[8mhidden\x1b[28m shown", "hidden shown"),
    ] {
        assert_eq!(html(log), shown, "{log:?}");
    }
}

/// Whether a text is our HTML: tags of colours only, every other special character escaped, spans balanced in each line.
fn is_harmless(html: &str) -> Result<(), String> {
    for line in html.split('\n') {
        let (mut rest, mut open) = (line, false);
        while let Some(at) = rest.find(['<', '>', '"', '\'', '&']) {
            rest = &rest[at..];
            let class = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ' ';
            if let Some(tag) = rest.strip_prefix("<span class=\"") {
                let end = tag.find(|c| !class(c)).ok_or("an endless tag")?;
                rest = tag[end..].strip_prefix("\">").ok_or("a strange tag")?;
                if std::mem::replace(&mut open, true) {
                    return Err("a span within a span".to_owned());
                }
            } else if let Some(after) = rest.strip_prefix("</span>") {
                rest = after;
                if !std::mem::replace(&mut open, false) {
                    return Err("an end without a beginning".to_owned());
                }
            } else {
                let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
                let entity = entities.iter().find(|entity| rest.starts_with(**entity));
                rest = &rest[entity.ok_or_else(|| format!("raw {rest:.20}"))?.len()..];
            }
        }
        if open {
            return Err("a span goes beyond its line".to_owned());
        }
    }
    let bad = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    html.chars().find(|c| bad(*c)).map_or(Ok(()), |c| Err(format!("{c:?}")))
}

/// Payloads of reliability, R41.
const HOSTILE: [&[u8]; 44] = [
    b"<script>alert(1)</script>",
    b"</pre><script>alert(1)</script>",
    b"</span></div></body><script src=//evil></script>",
    b"<img src=x onerror=alert(1)>",
    b"\"><svg onload=alert(1)>",
    b"' onmouseover='alert(1)",
    b"<!-- -->--!><script>",
    b"<![CDATA[<script>]]>",
    b"&lt;script&gt;",
    b"&#60;script&#62;",
    b"javascript:alert(1)",
    b"\x1b[31m<script>\x1b[0m",
    b"<scr\x1b[31mipt>alert(1)</scr\x1b[0mipt>",
    b"<scr\x00ipt>",
    b"<scr\ript>",
    b"<\x1b[1m/pre>",
    b"\x1b[31;<script>m",
    b"\x1b[\"><script>m",
    b"\x1b[38;5;<m",
    b"\x1b[38;2;1;2;3;4;5;6;7;8;9m<b>",
    b"\x1b[999999999999999999999m<b>",
    b"\x1b]0;<script>alert(1)</script>\x07<b>",
    b"\x1b]0;never ended <script>",
    b"\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07",
    b"\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\",
    b"\x1b]52;c;ZXZpbA==\x07",
    b"\x1b]1337;File=inline=1:AAAA\x07",
    b"\x1b[2J\x1b[H<script>",
    b"\x1b[1;1H\x1b[0J",
    b"\x1bP$q\"p\x1b\\<b>",
    b"\x1bPtmux;\x1b\x1b]52;c;AAAA\x07\x1b\\<b>",
    b"\x1b_private\x1b\\<b>\x1b^pm\x1b\\\x1bXsos\x1b\\",
    b"\x9b31m<script>\x9d0;x\x9c",
    b"\xc2\x9b31m<script>\xc2\x9d0;x\xc2\x9c",
    "\u{202e}gnp.exe\u{202c} \u{2066}x\u{2069}".as_bytes(),
    b"\x00\x01\x02\x7f<b>",
    b"\xff\xfe\xc0\xaf\xe0\x80\x80<b>",
    b"\xf0\x9f\x98",
    b"\xed\xa0\x80<b>",
    b"\xc2<script>",
    b"\x1b\x1b\x1b[31m\x1b\x1b]",
    b"section_start:1:<script>\r\x1b[0K<b>",
    b"\x1b[0Ksection_start:1:a[<script>]\r\x1b[0K<b>",
    b"2026-11-20T10:00:00.123456Z 00O <script>\r<b>",
];

#[test]
fn hostile_payloads_are_harmless_html_and_text_wherever_they_are_cut() {
    for payload in HOSTILE {
        for log in [payload.to_vec(), [b"\x1b[1;41mbefore ", payload, b"\nafter ", payload, b"\n"].concat()] {
            let shown = html(&log);
            assert_eq!(is_harmless(&shown), Ok(()), "{payload:?} became {shown}");
            for piece in [1, 2, 3, 7] {
                assert_eq!(render(Ansi::Html, Timestamps::Keep, &log, piece), shown, "{payload:?}");
            }
            let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(lines(shown.as_bytes()), lines(&log) + begun_by_markers(&log), "{payload:?}");
            assert!(!strip(&log).contains(['\x1b', '\0', '\u{9b}', '\x07']), "{payload:?}");
        }
    }
}

/// Returns how many lines end because a section's marker begins another.
fn begun_by_markers(log: &[u8]) -> usize {
    let mut open = Vec::new();
    let mut take = |piece: LinePiece<'_>| open.extend(piece.last.then_some(!piece.broken));
    let mut splitter = LineSplitter::new();
    splitter.push(log, &mut take);
    splitter.finish(&mut take);
    open.pop();
    open.into_iter().filter(|open| *open).count()
}

fn piece(text: &[u8], last: bool) -> LinePiece<'_> {
    LinePiece { number: 1, offset: 0, text, stamped: false, first: false, last, broken: last, ..LinePiece::default() }
}

#[test]
fn a_line_of_megabytes_is_shown_with_bounded_memory() {
    let mut renderer = Renderer::new(Ansi::Html, Timestamps::Keep);
    let (mut shown, mut out) = (0, Vec::new());
    for _ in 0..200 {
        renderer.push(&piece(&b"<\x1b[31mx\r".repeat(8_000), false), &mut out);
        shown += out.len();
        out.clear();
        assert!(renderer.screen.line.capacity() < 4 * LINE_BYTES);
    }
    for _ in 0..200 {
        renderer.push(&piece(&b"<x".repeat(32_000), false), &mut out);
        shown += out.len();
        out.clear();
        assert!(renderer.screen.line.capacity() < 1 << 20);
    }
    renderer.push(&piece(b"\rreturned", true), &mut out);
    assert!(out.ends_with(b" returned</span>\n"), "what is shown cannot be taken back");
    assert!(shown > 200 * 32_000);
}

proptest! {
    #[test]
    fn anything_is_harmless_and_the_same_wherever_it_is_cut(
        parts in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(&HOSTILE[..]).prop_map(<[u8]>::to_vec),
                proptest::collection::vec(any::<u8>(), 0..12),
                proptest::collection::vec(proptest::sample::select(&b"\x1b[]0;31mK\r\n<\"&\\P\x07"[..]), 0..12),
                Just(b"2026-11-20T10:00:00.123456Z 00O ".to_vec()),
                Just(b"\n2026-11-20T10:00:00.123456Z 00O+".to_vec()),
                Just(b"\n".to_vec()),
            ],
            0..12,
        ),
        piece in 1usize..40,
        strip_stamps: bool,
    ) {
        let log = parts.concat();
        let timestamps = if strip_stamps { Timestamps::Strip } else { Timestamps::Keep };
        let lines = crate::log::line_breaks(&log, b"").count();
        for ansi in [Ansi::Html, Ansi::Strip, Ansi::Keep] {
            let whole = render(ansi, timestamps, &log, usize::MAX);
            prop_assert_eq!(&render(ansi, timestamps, &log, piece), &whole);
            let more = if ansi == Ansi::Keep { 0 } else { begun_by_markers(&log) };
            prop_assert_eq!(whole.matches('\n').count(), lines + more);
            if ansi == Ansi::Html {
                prop_assert_eq!(is_harmless(&whole), Ok(()));
            }
        }
        if lines == log.iter().filter(|byte| **byte == b'\n').count() {
            let kept = render(Ansi::Keep, Timestamps::Keep, &log, piece);
            prop_assert_eq!(kept, String::from_utf8_lossy(&log));
        }
    }
}
