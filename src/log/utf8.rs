//! Bytes that are mostly UTF-8, piece by piece.

/// Decodes a text that comes in pieces; what is no UTF-8 becomes U+FFFD, as by [`String::from_utf8_lossy`].
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character whose rest has not come yet.
    held: Vec<u8>,
}

impl Utf8 {
    /// Takes a piece and tells its valid stretches.
    pub(super) fn push(&mut self, mut input: &[u8], each: &mut impl FnMut(&str)) {
        while let [byte, rest @ ..] = input {
            if self.held.is_empty() {
                break;
            }
            self.held.push(*byte);
            match std::str::from_utf8(&self.held) {
                Ok(text) => {
                    each(text);
                    self.held.clear();
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => {
                    // The byte does not belong to it: it is looked at again by itself.
                    each("\u{FFFD}");
                    self.held.clear();
                    break;
                }
            }
            input = rest;
        }
        for chunk in input.utf8_chunks() {
            if !chunk.valid().is_empty() {
                each(chunk.valid());
            }
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let at_end = invalid.as_ptr_range().end == input.as_ptr_range().end;
            let unfinished = std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if at_end && unfinished {
                self.held.extend_from_slice(invalid);
            } else {
                each("\u{FFFD}");
            }
        }
    }

    /// Tells what is left: something else follows, or nothing.
    pub(super) fn end(&mut self, each: &mut impl FnMut(&str)) {
        if !self.held.is_empty() {
            self.held.clear();
            each("\u{FFFD}");
        }
    }
}

/// Returns the longest beginning of a text that does not end within a character; all of it when it is no UTF-8 anyway.
pub(super) fn whole_characters(text: &[u8]) -> usize {
    for back in 1..=3.min(text.len()) {
        let at = text.len() - back;
        let needed = match text[at] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => 1,
        };
        return if needed > back && at > 0 { at } else { text.len() };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_decodes_like_the_standard_library_wherever_pieces_end(
            text in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xe2), Just(0x82), Just(0xac), Just(0xf0), Just(0x9f)], 0..60),
            piece in 1usize..7,
        ) {
            let mut decoded = String::new();
            let mut utf8 = Utf8::default();
            for part in text.chunks(piece) {
                utf8.push(part, &mut |text| decoded.push_str(text));
            }
            utf8.end(&mut |text| decoded.push_str(text));
            prop_assert_eq!(decoded, String::from_utf8_lossy(&text));
        }

        #[test]
        fn a_cut_text_is_valid_when_the_whole_is(text in "[a-zé€😀]{0,12}", cut in 0usize..50) {
            let bytes = text.as_bytes();
            let cut = whole_characters(&bytes[..cut.min(bytes.len())]);
            if cut > 3 || bytes.is_empty() {
                prop_assert!(std::str::from_utf8(&bytes[..cut]).is_ok());
            }
        }
    }
}
