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
        let mut codes = parameters.split(|byte| *byte == b';');
        while let Some(code) = codes.next() {
            if code.contains(&b':') {
                self.apply_parts(code);
                continue;
            }
            match number(code) {
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
                39 => self.foreground = None,
                49 => self.background = None,
                code @ 30..=37 => self.foreground = u8::try_from(code - 30).ok(),
                code @ 40..=47 => self.background = u8::try_from(code - 40).ok(),
                code @ 90..=97 => self.foreground = u8::try_from(code - 90 + 8).ok(),
                code @ 100..=107 => self.background = u8::try_from(code - 100 + 8).ok(),
                code @ (38 | 48 | 58) => match Extended::of_codes(&mut codes) {
                    Extended::Colour(colour) => self.paint(code, colour),
                    Extended::None => {}
                    // How many of the codes belong to it is not known.
                    Extended::Unknown => return,
                },
                _ => {}
            }
        }
    }

    /// Applies one code with parts of its own, as `38:2::255:100:31` (ITU-T T.416); what is not known changes nothing.
    fn apply_parts(&mut self, code: &[u8]) {
        let parts: Vec<&[u8]> = code.split(|byte| *byte == b':').collect();
        match (number(parts[0]), &parts[1..]) {
            // No line, or a single, double, curly, dotted or dashed one.
            (4, [kind]) if number(kind) <= 5 => self.underline = number(kind) != 0,
            (code @ (38 | 48), [b"5", colour]) => {
                u8::try_from(number(colour)).into_iter().for_each(|colour| self.paint(code, colour));
            }
            // Many programs leave out the colour space.
            (code @ (38 | 48), [b"2", red, green, blue] | [b"2", _, red, green, blue, ..]) => {
                self.paint(code, nearest(number(red), number(green), number(blue)));
            }
            _ => {}
        }
    }

    /// Takes a colour for text or what is behind it; one of underlines is not shown.
    fn paint(&mut self, code: u32, colour: u8) {
        match code {
            38 => self.foreground = Some(colour),
            48 => self.background = Some(colour),
            _ => {}
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

/// What follows a code that begins a colour.
enum Extended {
    Colour(u8),
    /// There is no such colour.
    None,
    Unknown,
}

impl Extended {
    /// Reads `5;n`, or `2;r;g;b`.
    fn of_codes<'a>(codes: &mut impl Iterator<Item = &'a [u8]>) -> Self {
        let mut next = || codes.next().filter(|code| !code.contains(&b':')).map(number);
        match next() {
            Some(5) => next().and_then(|code| u8::try_from(code).ok()).map_or(Self::None, Self::Colour),
            Some(2) => match (next(), next(), next()) {
                (Some(red), Some(green), Some(blue)) => Self::Colour(nearest(red, green, blue)),
                _ => Self::None,
            },
            _ => Self::Unknown,
        }
    }
}

/// Reads a number; none is 0, and what is larger than any code stays so.
fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |number, digit| (number * 10 + u32::from(digit.saturating_sub(b'0'))).min(999))
}

/// Returns the nearest of the 256 colours, of the cube or of the greys.
fn nearest(red: u32, green: u32, blue: u32) -> u8 {
    let wanted = [red, green, blue].map(|value| value.min(255));
    let distance = |colour: [u32; 3]| -> u32 {
        wanted.iter().zip(colour).map(|(wanted, value)| wanted.abs_diff(value).pow(2)).sum()
    };
    let levels = wanted.map(|value| match value {
        0..48 => 0,
        48..115 => 1,
        _ => (value - 35) / 40,
    });
    let grey = (wanted.iter().sum::<u32>() / 3).saturating_sub(3) / 10;
    let grey = grey.min(23);
    let [red, green, blue] = levels;
    let nearer = distance([8 + 10 * grey; 3]) < distance(levels.map(level));
    let number = if nearer { 232 + grey } else { 16 + 36 * red + 6 * green + blue };
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Returns how bright a level of the cube is.
fn level(level: u32) -> u32 {
    if level == 0 { 0 } else { 55 + 40 * level }
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
            ("38:5:208", "<span class=\"fg208\">"),
            ("38:2::255:100:31", "<span class=\"fg202\">"),
            ("38:2:255:100:31", "<span class=\"fg202\">"),
            ("38:2:0:255:100:31:0:1", "<span class=\"fg202\">"),
            ("48:2::0:0:255;1", "<span class=\"b bg21\">"),
            ("38;2;128;128;128", "<span class=\"fg244\">"),
            ("4:3", "<span class=\"u\">"),
            ("4:3;58:2::255:0:0;3", "<span class=\"i u\">"),
            ("4;58;5;1", "<span class=\"u\">"),
            ("58;2;1;3;9;31", "<span class=\"fg1\">"),
            ("31;38:9:1:3", "<span class=\"fg1\">"),
            ("31;38;3;1;4;9", "<span class=\"fg1\">"),
            ("1;22;3;23;9", "<span class=\"s\">"),
        ] {
            let mut style = Style::default();
            style.apply(parameters.as_bytes());
            let mut html = Vec::new();
            style.open(&mut html);
            assert_eq!(String::from_utf8_lossy(&html), span, "{parameters}");
        }
        for parameters in [
            "",
            "0",
            "31;0",
            "38;5",
            "38;5;999",
            "?25",
            "31<script>",
            "99999999999999999999",
            "4:0",
            "4;4:0",
            "4:9",
            "38:5",
            "38:5:999",
            "38:2:1:2",
            "38:1",
            "1:2",
            "0:1",
            "58:5:1",
            "58;5;4",
            "38;5:1;1:1",
            "::",
            ":4",
        ] {
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
