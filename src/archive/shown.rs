//! Paths of archives, which may be any bytes, as URLs and terminals take them.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What stands for itself in a path of a URL: slashes stay.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Returns a path as it goes into a URL, every byte of it.
pub fn encoded(path: &[u8]) -> String {
    percent_encode(path, PATH).to_string()
}

/// Returns a path as a terminal may show it: as it is, or, when that could do something to the terminal or could not be told
/// from another path, in the quotes `$'...'` in which a shell reads it back.
pub fn shown(path: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(path)
        && !text.contains(is_unseen)
        && !text.starts_with("$'")
    {
        return text.to_owned();
    }
    let mut quoted = "$'".to_owned();
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => quoted.push_str("\\t"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\\' | '\'' => quoted.extend(['\\', c]),
                _ if is_unseen(c) => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_byte(&mut quoted, byte)),
                _ => quoted.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| push_byte(&mut quoted, *byte));
    }
    quoted.push('\'');
    quoted
}

/// In octal: a shell takes at most three digits for the byte, whatever comes behind them.
fn push_byte(quoted: &mut String, byte: u8) {
    // Writing to a String does not fail.
    let _ = write!(quoted, "\\{byte:03o}");
}

/// Returns whether a character controls how others are shown, or is not seen itself.
fn is_unseen(c: char) -> bool {
    let steers = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    c.is_control() || steers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_as_it_is_unless_it_could_steer_a_terminal() {
        for (path, expected) in [
            (&b"dev-disk-by\\x2dlabel.swap"[..], "dev-disk-by\\x2dlabel.swap"),
            ("größe/it's \"it\"".as_bytes(), "größe/it's \"it\""),
            (b"a\tb\\'", "$'a\\tb\\\\\\''"),
            (b"\x1b[31m1", "$'\\033[31m1'"),
            (b"caf\xe9.txt", "$'caf\\351.txt'"),
            ("\u{202e}gnp.exe".as_bytes(), "$'\\342\\200\\256gnp.exe'"),
            (b"$'a'", "$'$\\'a\\''"),
            (b"", ""),
        ] {
            assert_eq!(shown(path), expected);
        }
    }

    #[test]
    fn every_byte_of_a_path_goes_into_a_url() {
        assert_eq!(encoded(b"a b/c\\d:\xff%\n"), "a%20b/c%5Cd%3A%FF%25%0A");
    }
}
