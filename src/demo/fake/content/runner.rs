//! How a runner writes a log: as its streams come, or in entries with a time stamp before each.
//!
//! The form is that of the runner's source and of raw logs (docs/gitlab.md): an entry ends at `\n`; what a write leaves without
//! one is cut after its last `\r`, by runners from 19.1 on after the `ESC[0K` of a section's marker; and what does not end for
//! 8 KiB is cut there. The next entry of the same stream begins with `+` then.

use std::io::Write as _;
use std::time::Duration;

use crate::domain::Timestamp;

/// What an entry without an end grows to before it is cut.
const ENTRY_BYTES: usize = 8 * 1024;

/// Whose a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// The runner's own.
    Runner,
    /// The script's standard output.
    Out,
    /// The script's standard error.
    Err,
}

/// Which runner it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Without stamps.
    Plain,
    /// 18.7 to 19.0: a section's marker is cut after its `\r`.
    CutMarkers,
    /// 19.1 and later.
    WholeMarkers,
}

/// Writes a log.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    pub(super) text: Vec<u8>,
    pub(super) at: Timestamp,
    form: Form,
    random: fastrand::Rng,
    streams: [State; 3],
}

/// Where a stream is.
#[derive(Debug, Clone, Default)]
struct State {
    /// What is written of an entry that has not ended.
    open: Vec<u8>,
    /// The next entry goes on with the last one.
    goes_on: bool,
}

impl Runner {
    pub(super) fn new(form: Form, seed: u64, at: Timestamp, size: usize) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { text: Vec::with_capacity(size), at, form, random, streams: Default::default() }
    }

    /// Writes a text at once.
    pub(super) fn write(&mut self, stream: Stream, text: &str) {
        if self.form == Form::Plain {
            return self.text.extend_from_slice(text.as_bytes());
        }
        let mut state = std::mem::take(&mut self.streams[stream as usize]);
        for part in text.split_inclusive('\n') {
            let mut rest = part.as_bytes();
            if !part.ends_with('\n')
                && let Some(cut) = self.cut(part)
            {
                self.add(&mut state, stream, &rest[..cut]);
                self.end(&mut state, true);
                rest = &rest[cut..];
            }
            if !rest.is_empty() {
                self.add(&mut state, stream, rest.strip_suffix(b"\n").unwrap_or(rest));
            }
            if rest.ends_with(b"\n") {
                self.end(&mut state, false);
            } else if state.open.len() > ENTRY_BYTES {
                self.end(&mut state, true);
            }
        }
        self.streams[stream as usize] = state;
    }

    /// Ends what has not ended, as a runner does when the job ends.
    pub(super) fn close(&mut self) {
        for mut state in std::mem::take(&mut self.streams) {
            if !state.open.is_empty() {
                self.end(&mut state, false);
            }
        }
    }

    /// Returns where a write without a line break is cut.
    fn cut(&self, text: &str) -> Option<usize> {
        const ERASE: &str = "\x1b[0K";
        let after = text.rfind('\r')? + 1;
        let erases = self.form == Form::WholeMarkers && text[after..].starts_with(ERASE);
        Some(if erases { after + ERASE.len() } else { after })
    }

    fn add(&mut self, state: &mut State, stream: Stream, text: &[u8]) {
        if state.open.is_empty() {
            self.at = self.at.plus(Duration::from_millis(self.random.u64(1..40)));
            let source = ["00O", "01O", "01E"][stream as usize];
            let mark = if std::mem::take(&mut state.goes_on) { '+' } else { ' ' };
            // The runner writes microseconds; GitLab's dates have milliseconds. Writing into a vector cannot fail.
            let _ = write!(state.open, "{}000Z {source}{mark}", self.at.to_string().trim_end_matches('Z'));
        }
        state.open.extend_from_slice(text);
    }

    fn end(&mut self, state: &mut State, goes_on: bool) {
        self.text.append(&mut state.open);
        self.text.push(b'\n');
        state.goes_on = goes_on;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a runner makes of writes, without the times.
    fn written(form: Form, writes: &[(Stream, &str)]) -> Vec<String> {
        let mut runner = Runner::new(form, 1, Timestamp::from_millis(1_795_166_042_000), 0);
        writes.iter().for_each(|(stream, text)| runner.write(*stream, text));
        runner.close();
        let text = String::from_utf8(runner.text).expect("UTF-8");
        text.split_terminator('\n')
            .map(|line| line.split_at("2026-11-20T10:00:00.123456Z ".len()).1.to_owned())
            .collect()
    }

    #[test]
    fn entries_are_cut_where_a_runner_cuts_them() {
        let writes = [
            (Stream::Runner, "\x1b[0Ksection_start:1:a\r\x1b[0K"),
            (Stream::Runner, "\x1b[36;1mTitle\x1b[0;m\n"),
            (Stream::Out, "10%\r"),
            (Stream::Err, "warning\r\n"),
            (Stream::Out, "20%\r30%\r"),
            (Stream::Out, "\n"),
            (Stream::Runner, "end"),
        ];
        let cut = [
            "00O \x1b[0Ksection_start:1:a\r",
            "00O+\x1b[0K\x1b[36;1mTitle\x1b[0;m",
            "01O 10%\r",
            "01E warning\r",
            "01O+20%\r30%\r",
            "01O+",
            "00O end",
        ];
        assert_eq!(written(Form::CutMarkers, &writes), cut);
        let whole = ["00O \x1b[0Ksection_start:1:a\r\x1b[0K", "00O+\x1b[36;1mTitle\x1b[0;m"];
        assert_eq!(written(Form::WholeMarkers, &writes)[..2], whole);
    }

    #[test]
    fn what_does_not_end_is_cut_after_8_kib() {
        let part = "x".repeat(1024);
        let writes = vec![(Stream::Out, part.as_str()); 20];
        let lengths: Vec<usize> = written(Form::CutMarkers, &writes).iter().map(String::len).collect();
        assert_eq!(lengths, [4 + 8 * 1024, 4 + 8 * 1024, 4 + 4 * 1024]);
    }
}
