//! Words for a person on stderr and answers on stdout. Whoever closed one of them, as `head` does, has read enough: that is no
//! reason to give up what is being done.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Writes a line to stderr.
pub fn tell(line: impl Display) {
    // There is nowhere else to tell it.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes to stdout.
pub fn say(text: &str) {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            tell(format_args!("cistern: could not write the answer: {error}"));
        }
        _ => {}
    }
}
