//! Log lines above progress bars.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::fmt::MakeWriter;

/// Writes log lines to stderr above the bars drawn there, which it takes away for that moment.
#[derive(Debug, Clone)]
pub struct AboveBars {
    bars: MultiProgress,
}

impl AboveBars {
    /// Returns a writer above these bars.
    pub fn new(bars: MultiProgress) -> Self {
        Self { bars }
    }
}

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().lock().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'w> MakeWriter<'w> for AboveBars {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
