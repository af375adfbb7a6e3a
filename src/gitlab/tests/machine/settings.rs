//! What is tried: how GitLab behaves, and who comes when.

use super::*;

/// A GitLab that is well, one that is not, or one that goes away now and then.
fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let time = || (MILLI..3 * SECOND).boxed();
    let quick = || (MILLI..200 * MILLI).prop_map(Fate::Answered).boxed();
    let slow = || time().prop_map(Fate::Answered).boxed();
    let well = (MILLI..SECOND)
        .prop_flat_map(|time| proptest::collection::vec((time..time * 2).prop_map(Fate::Answered), 1..400));
    let unwell = prop_oneof![
        60 => quick(),
        20 => slow(),
        2 => (time(), 0..90_u64).prop_map(|(time, seconds)| Fate::Throttled(time, seconds)),
        2 => time().prop_map(Fate::ThrottledHere),
        8 => time().prop_map(Fate::Failed),
        1 => Just(Fate::Lost),
    ];
    let away = (1..100_usize, 10..40_usize).prop_map(|(good, bad)| {
        let good = std::iter::repeat_n(Fate::Answered(50 * MILLI), good);
        good.chain(std::iter::repeat_n(Fate::Failed(300 * MILLI), bad)).collect()
    });
    prop_oneof![well, proptest::collection::vec(unwell, 1..400), away]
}

/// Mostly backfill, in bursts; the others now and then.
fn arrivals() -> impl Strategy<Value = Vec<(u64, Waiter)>> {
    let endpoint =
        prop_oneof![Just(Endpoint::Jobs), Just(Endpoint::Job), Just(Endpoint::Trace), Just(Endpoint::Archive)];
    let class = prop_oneof![8 => Just(Class::Backfill), 1 => Just(Class::Reader), 2 => Just(Class::Live)];
    let after = prop_oneof![600 => Just(0), 50 => 0..2 * SECOND, 1 => 0..90 * SECOND];
    let arrival = (after, class, endpoint).prop_map(|(after, class, endpoint)| {
        (after, Waiter { claim: Claim { class, bulk: endpoint.is_bulk() }, endpoint })
    });
    proptest::collection::vec(arrival, 1..500)
}

prop_compose! {
    pub(super) fn setting()(
        calls in 1..25_usize,
        pace in proptest::option::weighted(0.3, 30..2000_u32),
        more in proptest::option::weighted(0.7, 0..150_u64),
        fates in fates(),
        ways in prop_oneof![Just(vec![0]), Just(vec![10]), proptest::collection::vec(0..11_u64, 1..30)],
        arrivals in arrivals(),
    ) -> Setting {
        // Somebody has to be answered some day.
        let fates = fates.into_iter().chain([Fate::Answered(50 * MILLI)]).collect();
        // A tenth of it is at least as much as is in flight, as with every limit of GitLab's.
        let limit = more.map(|more| calls as u64 * 10 + more);
        Setting { calls, pace, limit, fates, ways, arrivals }
    }
}
