//! Words for a person on stderr and answers on stdout. Whoever closed one of them, as `head` does, has read enough: that is no
//! reason to give up what is being done.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether an answer of this process did not get to its stdout.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

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
            UNWRITTEN.store(true, Ordering::Relaxed);
            tell(format_args!("cistern: could not write the answer: {error}"));
        }
        _ => {}
    }
}

/// Returns whether something that was to be said could not be written.
pub fn is_unsaid() -> bool {
    UNWRITTEN.load(Ordering::Relaxed)
}
