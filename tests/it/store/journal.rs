//! Entries, whose they are, and what fails for good.

use super::*;

async fn the_journal_keeps_working_order_and_forgets_what_is_done(engine: Engine) {
    let rig = Rig::new(engine).await;
    let backfill = Entry { lane: Lane::Backfill, ..entry(1, 0) };
    let (late, early) = (entry(2, 20), entry(3, 10));
    rig.store.apply(vec![Change::Append(vec![backfill.clone(), late.clone(), early.clone()])]).await.expect("stored");
    let entries = rig.store.entries(10).await.expect("read");
    assert_eq!(entries, [early.clone(), late.clone(), backfill.clone()]);
    assert_eq!(rig.store.entries(1).await.expect("read"), std::slice::from_ref(&early));

    let changes =
        vec![Change::Start(vec![early.id, late.id]), Change::Postpone(vec![early.id], at(30), Lane::Backfill)];
    rig.store.apply(changes).await.expect("stored");
    rig.store.apply(vec![Change::Finish(late.target, vec![late.id])]).await.expect("stored");
    let postponed = Entry { due: at(30), attempts: 1, lane: Lane::Backfill, ..early };
    assert_eq!(rig.store.entries(10).await.expect("read"), [backfill, postponed], "it is in the backfill lane now");
    assert_eq!(rig.store.journal_len().await.expect("read"), 2);
}

async fn entries_are_adopted_only_from_a_process_that_is_gone(engine: Engine) {
    let rig = Rig::new(engine).await;
    let other = rig.open(Duration::from_secs(30)).await;
    let (given, taken) = (entry(1, 0), entry(2, 0));
    other.apply(vec![Change::Append(vec![given.clone()])]).await.expect("stored");
    assert_eq!(rig.store.adopt().await.expect("adopted"), 0);
    other.close().await.expect("closed");
    assert_eq!(rig.store.adopt().await.expect("adopted"), 1);
    assert_eq!(rig.store.entries(9).await.expect("read"), [given]);

    let dying = rig.open(Duration::from_millis(1)).await;
    dying.apply(vec![Change::Append(vec![taken.clone()])]).await.expect("stored");
    // Its lease is 1 ms: it is gone as soon as it is heard of no more.
    let mut adopted = 0;
    while adopted == 0 {
        adopted = rig.store.adopt().await.expect("adopted");
    }
    assert_eq!(rig.store.entries(9).await.expect("read").len(), 2);
    assert_eq!(dying.entries(9).await.expect("read"), []);
}

async fn what_killed_three_processes_is_set_aside(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let poison = Entry::new(Target::Job(JOB), Lane::Live, Cause::Ended, at(0));
    rig.store.apply(vec![Change::Append(vec![poison.clone()])]).await.expect("stored");
    for death in 1..=3 {
        rig.store.apply(vec![Change::Start(vec![poison.id])]).await.expect("stored");
        rig.behind.orphan_entries().await;
        assert_eq!(rig.store.adopt().await.expect("adopted"), 1);
        assert_eq!(rig.store.journal_len().await.expect("read"), u64::from(death < 3));
    }
    let failures = rig.store.failures(Some(PROJECT)).await.expect("read");
    assert_eq!((failures[0].target, failures[0].attempts), (poison.target, 3));
    assert!(failures[0].problem.contains("three times"));
    assert_eq!(rig.log().await.piece, Piece::Absent(Reason::Failed));

    // A later success heals it.
    let finish = Change::Finish(poison.target, vec![]);
    rig.store.apply(vec![publish(Piece::Whole, 3), finish]).await.expect("stored");
    assert_eq!(rig.store.failures(None).await.expect("read"), []);
    assert_eq!(rig.log().await.piece, Piece::Whole);
}

async fn only_what_was_alone_is_blamed_for_the_death_of_a_process(engine: Engine) {
    let rig = Rig::new(engine).await;
    let all: Vec<Entry> = (1..=4).map(|job| entry(job, i64::try_from(job).expect("small"))).collect();
    rig.store.apply(vec![Change::Append(all.clone())]).await.expect("stored");
    let died_with = async |numbers: &[usize]| {
        let started = numbers.iter().map(|number| all[*number].id).collect();
        rig.store.apply(vec![Change::Start(started)]).await.expect("stored");
        rig.behind.orphan_entries().await;
        rig.store.adopt().await.expect("adopted");
        let entries = rig.store.entries(9).await.expect("read");
        entries.into_iter().map(|entry| (entry.target.id(), entry.suspicion)).collect::<Vec<_>>()
    };
    let [none, company, alone] = [Suspicion::None, Suspicion::Company, Suspicion::Alone];
    assert_eq!(died_with(&[0, 1, 2]).await, [(1, company), (2, company), (3, company), (4, none)]);
    // Beside something new the only suspect is one more than that; whoever is not under way stays what it was.
    assert_eq!(died_with(&[0, 3]).await, [(1, alone), (2, company), (3, company), (4, company)]);
    for _ in 0..2 {
        assert_eq!(died_with(&[1]).await, [(1, alone), (2, alone), (3, company), (4, company)]);
    }
    // What ended, however it did, has not killed anything.
    let later = vec![Change::Start(vec![all[2].id]), Change::Postpone(vec![all[2].id], at(3), Lane::Live)];
    rig.store.apply(later).await.expect("stored");
    assert_eq!(died_with(&[1]).await, [(1, alone), (3, none), (4, company)]);
    let failures = rig.store.failures(None).await.expect("read");
    assert_eq!(failures.iter().map(|failure| failure.target.id()).collect::<Vec<_>>(), [2]);
}

async fn an_entry_id_that_exists_fails_alone(engine: Engine) {
    let rig = Rig::new(engine).await;
    let first = entry(1, 0);
    let appends = [vec![first.clone()], vec![first.clone()], vec![entry(2, 0)]];
    let outcomes =
        futures_util::future::join_all(appends.map(|entries| rig.store.apply(vec![Change::Append(entries)])));
    let worked: Vec<bool> = outcomes.await.iter().map(Result::is_ok).collect();
    assert_eq!(worked, [true, false, true]);
    assert!(rig.store.is_up(), "one caller's mistake is not an outage");
}

async fn marks_wait_until_they_are_removed(engine: Engine) {
    let rig = Rig::new(engine).await;
    rig.store.apply(vec![Change::Mark(PROJECT), Change::Mark(PROJECT)]).await.expect("stored");
    let marks = rig.store.marks().await.expect("read");
    let [(PROJECT, marked_at)] = marks[..] else { panic!("{marks:?}") };
    let earlier = Timestamp::from_millis(marked_at.as_millis() - 1);
    rig.store.apply(vec![Change::Unmark(PROJECT, earlier)]).await.expect("stored");
    assert_eq!(rig.store.marks().await.expect("read"), marks, "it was set again after the sweep began");
    rig.store.apply(vec![Change::Unmark(PROJECT, marked_at)]).await.expect("stored");
    assert_eq!(rig.store.marks().await.expect("read"), []);
}

on_both! {
    the_journal_keeps_working_order_and_forgets_what_is_done;
    entries_are_adopted_only_from_a_process_that_is_gone;
    what_killed_three_processes_is_set_aside;
    only_what_was_alone_is_blamed_for_the_death_of_a_process;
    an_entry_id_that_exists_fails_alone;
    marks_wait_until_they_are_removed;
}
