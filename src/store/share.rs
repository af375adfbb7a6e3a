//! How the processes of a deployment share `limits.api_calls` (design, section 4.5): pure arithmetic, for both stores.

/// What one process stated with its last heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimant {
    /// Whether it is a `serve`: each keeps one permit while there are enough, so that a webhook's first call waits for no
    /// heartbeat.
    pub serves: bool,
    /// Permits it may be using.
    pub share: u32,
    /// Permits it could use now.
    pub wanted: u32,
}

/// What a process is to do after its heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The share to write down: never lower than what it still holds, never more than the others leave.
    pub written: u32,
    /// The permits it may use from now on.
    pub allowed: u32,
}

/// Decides a process's share: `own.share` is what it holds now, `written` what it last wrote down, `others` everyone heard of
/// recently. A permit moves only after its holder has written the lower share, because the written shares never add up to
/// more than `total`.
pub fn grant(own: Claimant, written: u32, others: &[Claimant], total: u32) -> Grant {
    let everyone = || std::iter::once(&own).chain(others);
    let wanting = count(everyone().filter(|claimant| claimant.wanted > 0));
    let idle = count(everyone().filter(|claimant| claimant.wanted == 0 && claimant.serves));
    let fair = match wanting.saturating_add(idle) > total {
        true => turn(own, written, others, total, wanting),
        false => fair_share(own, others, total),
    };
    let taken: u32 = others.iter().map(|other| other.share).fold(0, u32::saturating_add);
    let allowed = fair.min(total.saturating_sub(taken));
    Grant { written: allowed.max(own.share), allowed }
}

/// Returns what a process should have while there are fewer permits than processes to keep one each: those that want one come
/// first, then idle `serve`s. Where more want one than there are, they take turns: who had one gives it back with its next
/// heartbeat and takes one again with a later one, so that everyone else was asked in between.
fn turn(own: Claimant, written: u32, others: &[Claimant], total: u32, wanting: u32) -> u32 {
    if own.wanted > 0 {
        return u32::from(wanting <= total || own.share.max(written) == 0);
    }
    let keeps = |claimant: &&Claimant| claimant.wanted == 0 && claimant.serves && claimant.share > 0;
    u32::from(own.serves && count(others.iter().filter(keeps)) < total.saturating_sub(wanting))
}

fn count<'a>(claimants: impl Iterator<Item = &'a Claimant>) -> u32 {
    u32::try_from(claimants.count()).unwrap_or(u32::MAX)
}

/// Returns what a process should have once everyone has moved, where there is one for each: one for each `serve`, the rest
/// evenly to those who want more, and what nobody wants evenly to all.
fn fair_share(own: Claimant, others: &[Claimant], total: u32) -> u32 {
    let everyone = || std::iter::once(&own).chain(others);
    let floor = |claimant: &Claimant| u32::from(claimant.serves);
    let wish = |claimant: &Claimant| claimant.wanted.max(floor(claimant));
    let mut level = 0;
    // The highest level at which everyone may have `min(wish, level)`: at most `total` steps. Where only floors are used a
    // step changes nothing, and the next one may.
    let used = |level: u32| everyone().map(|claimant| wish(claimant).min(level.max(floor(claimant)))).sum::<u32>();
    while level < total && used(level + 1) <= total {
        level += 1;
    }
    let share = wish(&own).min(level.max(floor(&own)));
    share + total.saturating_sub(used(level)) / count(everyone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(share: u32, wanted: u32) -> Claimant {
        Claimant { serves: true, share, wanted }
    }

    fn backfill(share: u32, wanted: u32) -> Claimant {
        Claimant { serves: false, share, wanted }
    }

    #[test]
    fn who_is_alone_gets_everything() {
        assert_eq!(grant(serve(0, 0), 0, &[], 20), Grant { written: 20, allowed: 20 });
        assert_eq!(grant(backfill(0, 1000), 0, &[], 20), Grant { written: 20, allowed: 20 });
    }

    #[test]
    fn permits_go_where_work_waits_but_each_serve_keeps_one() {
        let idle = serve(20, 0);
        assert_eq!(grant(idle, 20, &[backfill(0, 50)], 20), Grant { written: 20, allowed: 1 });
        assert_eq!(grant(serve(1, 0), 20, &[backfill(0, 50)], 20), Grant { written: 1, allowed: 1 });
        assert_eq!(grant(backfill(0, 50), 0, &[serve(1, 0)], 20), Grant { written: 19, allowed: 19 });
    }

    #[test]
    fn the_only_serve_that_works_gets_what_the_idle_ones_do_not_want() {
        let (works, idle) = (serve(6, 800), serve(6, 0));
        assert_eq!(grant(idle, 6, &[works, serve(6, 0)], 20), Grant { written: 6, allowed: 1 });
        assert_eq!(grant(works, 6, &[serve(1, 0), serve(1, 0)], 20), Grant { written: 18, allowed: 18 });
    }

    #[test]
    fn nothing_moves_before_its_holder_wrote_the_lower_share() {
        assert_eq!(grant(backfill(0, 50), 0, &[serve(20, 0)], 20), Grant { written: 0, allowed: 0 });
    }

    #[test]
    fn written_shares_never_add_up_to_more_than_the_total_whatever_the_order() {
        let mut seed = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let total = seed.u32(1..40);
            let mut all: Vec<Claimant> = (0..seed.usize(1..6)).map(|_| serve(0, 0)).collect();
            for _ in 0..40 {
                let at = seed.usize(..all.len());
                let mut own = all[at];
                own.wanted = seed.u32(0..60);
                own.serves = seed.bool();
                let others: Vec<_> = all.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, c)| *c).collect();
                let granted = grant(own, all[at].share, &others, total);
                // Now and then it has not lowered yet when it writes.
                own.share = if seed.bool() { granted.written } else { granted.allowed };
                all[at] = own;
                assert!(all.iter().map(|claimant| claimant.share).sum::<u32>() <= total);
            }
        }
    }

    /// Has everyone beat so often in turn, and once more where a share was lowered, as its calls have ended by then; returns
    /// how often each was allowed something.
    fn beats(all: &mut [Claimant], total: u32, rounds: usize) -> Vec<u32> {
        let count = all.len();
        let mut held = vec![0; count];
        let mut allowed = vec![0; count];
        for at in (0..rounds).flat_map(|_| 0..count) {
            for _ in 0..2 {
                let others: Vec<_> = all.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, c)| *c).collect();
                let own = Claimant { share: held[at], ..all[at] };
                let granted = grant(own, all[at].share, &others, total);
                all[at].share = granted.written;
                let before = std::mem::replace(&mut held[at], granted.allowed);
                assert!(all.iter().map(|claimant| claimant.share).sum::<u32>() <= total);
                if granted.allowed >= before {
                    break;
                }
            }
            allowed[at] += u32::from(held[at] > 0);
        }
        allowed
    }

    #[test]
    fn an_idle_serve_gives_way_where_its_permit_is_the_last() {
        let mut all = [serve(1, 0), backfill(0, 50)];
        beats(&mut all, 1, 2);
        assert_eq!(all.map(|claimant| claimant.share), [0, 1]);
        // With one more, one of the two idle ones keeps its own.
        let mut all = [serve(1, 0), serve(1, 0), backfill(0, 50)];
        beats(&mut all, 2, 3);
        assert_eq!(all[2].share, 1);
        assert_eq!(all[0].share + all[1].share, 1);
    }

    #[test]
    fn whoever_wants_a_permit_gets_one_again_and_again_however_few_there_are() {
        let mut seed = fastrand::Rng::with_seed(11);
        for _ in 0..2_000 {
            let total = seed.u32(1..6);
            let mut all: Vec<Claimant> = (0..seed.usize(1..8))
                .map(|_| Claimant { serves: seed.bool(), share: 0, wanted: seed.u32(0..3) })
                .collect();
            let allowed = beats(&mut all, total, 40);
            for (claimant, times) in all.iter().zip(&allowed) {
                assert!(claimant.wanted == 0 || *times >= 4, "{times} of 40: {all:?}, {total} permits, {allowed:?}");
            }
        }
    }
}
