//! Colours: SGR parameters to classes of `<span>`. Never an inline style, which a content security policy would forbid.

use std::fmt::Write as _;

/// A colour of the 256.
type Colour = Option<u8>;

/// How text looks. Blinking and hidden text are not among it: a log that hides text shows it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Style {
    foreground: Colour,
    background: Colour,
    bold: bool,
    faint: bool,
    italic: bool,
    underline: bool,
    struck: bool,
}

impl Style {
    pub(super) fn is_plain(self) -> bool {
        self == Self::default()
    }

    /// Applies the parameters of one `ESC [ … m`.
    pub(super) fn apply(&mut self, parameters: &[u8]) {
        // Anything but digits and separators is somebody's private sequence.
        if !parameters.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')) {
            return;
        }
        let number = |text: &[u8]| text.iter().fold(0u32, |n, digit| (n * 10 + u32::from(digit - b'0')).min(999));
        let mut numbers = parameters.split(|byte| matches!(byte, b';' | b':')).map(number);
        while let Some(code) = numbers.next() {
            match code {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.faint = true,
                3 => self.italic = true,
                4 => self.underline = true,
                9 => self.struck = true,
                22 => (self.bold, self.faint) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                29 => self.struck = false,
                30..=37 => self.foreground = u8::try_from(code - 30).ok(),
                38 => self.foreground = extended(&mut numbers).or(self.foreground),
                39 => self.foreground = None,
                40..=47 => self.background = u8::try_from(code - 40).ok(),
                48 => self.background = extended(&mut numbers).or(self.background),
                49 => self.background = None,
                90..=97 => self.foreground = u8::try_from(code - 90 + 8).ok(),
                100..=107 => self.background = u8::try_from(code - 100 + 8).ok(),
                _ => {}
            }
        }
    }

    /// Writes the beginning of the span that shows it.
    pub(super) fn open(self, html: &mut Vec<u8>) {
        html.extend_from_slice(b"<span class=\"");
        let begin = html.len();
        let flags =
            [(self.bold, "b"), (self.faint, "f"), (self.italic, "i"), (self.underline, "u"), (self.struck, "s")];
        let mut class = |text: &str| {
            if html.len() > begin {
                html.push(b' ');
            }
            html.extend_from_slice(text.as_bytes());
        };
        flags.iter().filter(|(set, _)| *set).for_each(|(_, name)| class(name));
        if let Some(colour) = self.foreground {
            class(&format!("fg{colour}"));
        }
        if let Some(colour) = self.background {
            class(&format!("bg{colour}"));
        }
        html.extend_from_slice(b"\">");
    }
}

/// Reads `5;n`, or `2;r;g;b` as the nearest of the 256.
fn extended(numbers: &mut impl Iterator<Item = u32>) -> Colour {
    match numbers.next()? {
        5 => u8::try_from(numbers.next()?).ok(),
        2 => {
            let mut level = || numbers.next().map(|value| (value.min(255) + 25) / 51);
            let (red, green, blue) = (level()?, level()?, level()?);
            u8::try_from(16 + 36 * red + 6 * green + blue).ok()
        }
        _ => None,
    }
}

/// Returns the style sheet of the classes: `b f i u s` and `fg0`, `bg0` to `fg255`, `bg255`. The first sixteen are those of a
/// terminal's palette on a dark background.
pub fn stylesheet() -> String {
    const PALETTE: [u32; 16] = [
        0x00_0000, 0xcd_3131, 0x0d_bc79, 0xe5_e510, 0x24_72c8, 0xbc_3fbc, 0x11_a8cd, 0xe5_e5e5, 0x66_6666, 0xf1_4c4c,
        0x23_d18b, 0xf5_f543, 0x3b_8eea, 0xd6_70d6, 0x29_b8db, 0xff_ffff,
    ];
    let mut css = String::from(
        ".b{font-weight:bold}.f{opacity:.7}.i{font-style:italic}.u{text-decoration:underline}.s{text-decoration:line-through}",
    );
    for number in 0..256u32 {
        let colour = match number {
            0..=15 => PALETTE[number as usize],
            16..=231 => {
                let level = |value: u32| if value == 0 { 0 } else { 55 + 40 * value };
                let number = number - 16;
                level(number / 36) << 16 | level(number / 6 % 6) << 8 | level(number % 6)
            }
            _ => (8 + 10 * (number - 232)) * 0x01_0101,
        };
        // Writing to a string cannot fail.
        let _ = write!(css, ".fg{number}{{color:#{colour:06x}}}.bg{number}{{background:#{colour:06x}}}");
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_classes() {
        for (parameters, span) in [
            ("31", "<span class=\"fg1\">"),
            ("32;1", "<span class=\"b fg2\">"),
            ("0;97;44", "<span class=\"fg15 bg4\">"),
            ("38;5;208", "<span class=\"fg208\">"),
            ("38;2;255;0;0", "<span class=\"fg196\">"),
            ("38:5:208;4", "<span class=\"u fg208\">"),
            ("1;22;3;23;9", "<span class=\"s\">"),
        ] {
            let mut style = Style::default();
            style.apply(parameters.as_bytes());
            let mut html = Vec::new();
            style.open(&mut html);
            assert_eq!(String::from_utf8_lossy(&html), span, "{parameters}");
        }
        for parameters in ["", "0", "31;0", "38;5", "38;5;999", "?25", "31<script>", "99999999999999999999"] {
            let mut style = Style::default();
            style.apply(parameters.as_bytes());
            assert!(style.is_plain(), "{parameters}");
        }
    }

    #[test]
    fn the_style_sheet_knows_every_class() {
        let css = stylesheet();
        for class in [".b{", ".fg0{", ".fg255{", ".bg196{background:#ff0000}", ".fg255{color:#eeeeee}"] {
            assert!(css.contains(class), "{class}");
        }
    }
}
