//! What made a piece of work begin, as logs and traces know it.

/// The delivery, and the trace in which it was received. Never stored: it is for those who watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The delivery's id, the same when it is sent again.
    pub delivery: Option<Box<str>>,
    /// The span that received it.
    pub trace: Option<TraceParent>,
}

/// A span of another part of the same trace (W3C Trace Context).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
    /// Whether anybody records it.
    pub sampled: bool,
}
