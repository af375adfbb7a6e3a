//! Waiting when GitLab asks for it.

/// How often GitLab may ask to wait before a question or an order is given up.
pub(super) const ASKED_TO_WAIT: u32 = 30;

/// Asks again when GitLab asks to wait: of an order, too, because one that is throttled was not carried out.
macro_rules! patiently {
    ($call:expr) => {{
        let mut waits = 0;
        loop {
            match $call.await {
                Err($crate::gitlab::Error { kind: $crate::gitlab::Kind::Throttled { until, .. }, .. })
                    if waits < $crate::hooks::patience::ASKED_TO_WAIT =>
                {
                    waits += 1;
                    tracing::info!(%until, "GitLab asks to wait");
                    tokio::time::sleep(until.since($crate::domain::Timestamp::now())).await;
                }
                answer => break answer,
            }
        }
    }};
}
pub(super) use patiently;
