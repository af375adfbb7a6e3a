//! Limits, turns and window together, as a question goes through them, against a GitLab of numbers in virtual time: whatever
//! it answers and whoever comes when.

mod settings;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::gitlab::breaker::Circuit;
use crate::gitlab::endpoint::Endpoint;
use crate::gitlab::limits::{Budget, Limits, Verdict};
use crate::gitlab::pace::Paces;
use crate::gitlab::turns::{Claim, Next, Turns};
use crate::gitlab::window::Window;

/// Times are microseconds; no two events have the same.
const MILLI: u64 = 1000;
const SECOND: u64 = 1000 * MILLI;

/// GitLab's own period of counting.
const MINUTE: u64 = 60 * SECOND;

/// When nothing came for so long, `http` gives a call up.
const PATIENCE: u64 = 30 * SECOND;

/// The longest that a question waits without GitLab having said so: while it does not answer.
const UNSAID: u64 = 30 * SECOND;

/// What becomes of a call, after what time.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered(u64),
    /// Plain 429; everybody waits so many seconds.
    Throttled(u64, u64),
    /// The application's 429: this endpoint waits a minute.
    ThrottledHere(u64),
    Failed(u64),
    Lost,
}

impl Fate {
    fn takes(self) -> u64 {
        match self {
            Self::Answered(time) | Self::Throttled(time, _) | Self::ThrottledHere(time) | Self::Failed(time) => time,
            Self::Lost => PATIENCE,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    claim: Claim,
    endpoint: Endpoint,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    waiter: Waiter,
    sent: u64,
    fate: Fate,
    counted: Option<u64>,
    /// What was left of GitLab's limit and the time until it begins anew, as its answer tells.
    left: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Comes(Waiter),
    /// GitLab counts a call.
    Counted(usize),
    Ends(usize),
    /// A permit may be granted: the time that [`Next::NotBefore`] told.
    Alarm,
}

/// What is tried.
#[derive(Debug, Clone)]
struct Setting {
    calls: usize,
    /// GitLab's limit a minute.
    limit: Option<u64>,
    /// `limits.requests_per_minute`.
    pace: Option<u32>,
    fates: Vec<Fate>,
    /// When on their way GitLab counts calls, in tenths.
    ways: Vec<u64>,
    /// Who comes how long after the one before.
    arrivals: Vec<(u64, Waiter)>,
}

/// The client's state, GitLab's, and what has been seen so far.
struct Machine {
    setting: Setting,
    origin: Instant,
    now: u64,
    limits: Limits,
    turns: Turns<Waiter>,
    window: Window,
    waiting: Vec<Waiter>,
    calls: Vec<Call>,
    in_flight: Vec<usize>,
    events: BTreeMap<(u64, u64), Event>,
    alarms: u64,
    /// Period of GitLab's counting, and its count.
    counted: (u64, u64),
    refused: u64,
    /// The latest period of which an answer told.
    told: Option<u64>,
    grants: u64,
    /// Until when GitLab has asked to wait: everywhere, and by endpoint.
    asked: [u64; Endpoint::COUNT + 1],
    /// The latest time that an answer told for GitLab's limit to begin anew.
    reset: u64,
    /// How many calls had been sent when the breaker opened, or the last try failed.
    open: Option<usize>,
    served: usize,
}

impl Machine {
    fn new(setting: Setting) -> Self {
        let mut machine = Self {
            origin: Instant::now(),
            now: 0,
            limits: Limits::default(),
            turns: Turns::new(setting.calls, setting.pace.map(Paces::per_minute)),
            window: Window::new(setting.calls),
            waiting: Vec::new(),
            calls: Vec::new(),
            in_flight: Vec::new(),
            events: BTreeMap::new(),
            alarms: 0,
            counted: (0, 0),
            refused: 0,
            told: None,
            grants: 0,
            asked: [0; Endpoint::COUNT + 1],
            reset: 0,
            open: None,
            served: 0,
            setting,
        };
        let mut at = 0;
        for (after, waiter) in machine.setting.arrivals.clone() {
            at += after;
            machine.at(at, Event::Comes(waiter));
        }
        machine
    }

    fn at(&mut self, time: u64, event: Event) {
        self.alarms += 1;
        self.events.insert((time, self.alarms), event);
    }

    fn instant(&self, micros: u64) -> Instant {
        self.origin + Duration::from_micros(micros)
    }

    /// Rounds up: nobody may come a fraction too early.
    fn micros(&self, at: Instant) -> u64 {
        u64::try_from((at - self.origin).as_nanos().div_ceil(1000)).expect("some hours")
    }

    /// Runs until everybody was served.
    fn run(mut self) -> Result<Self, TestCaseError> {
        while let Some(((time, _), event)) = self.events.pop_first() {
            self.now = time.max(self.now + 1);
            match event {
                Event::Comes(waiter) => self.comes(waiter)?,
                Event::Counted(call) => self.counted(call)?,
                Event::Ends(call) => self.ends(call)?,
                Event::Alarm => {}
            }
            self.grant()?;
        }
        prop_assert_eq!(self.served, self.setting.arrivals.len(), "somebody waits for ever");
        prop_assert_eq!((self.turns.held(), self.turns.waiting()), (0, 0));
        Ok(self)
    }

    /// Looks before it queues, as `http` does; whoever may not go comes again when told.
    fn comes(&mut self, waiter: Waiter) -> Result<(), TestCaseError> {
        match self.limits.peek(self.instant(self.now), waiter.claim.class, waiter.endpoint) {
            Verdict::Wait { until, .. } => self.comes_again(waiter, until),
            _ => {
                self.turns.enter(waiter.claim, waiter);
                self.waiting.push(waiter);
                Ok(())
            }
        }
    }

    /// Nobody waits longer than GitLab asked for, nor for what concerns others.
    fn comes_again(&mut self, waiter: Waiter, until: Instant) -> Result<(), TestCaseError> {
        let until = self.micros(until);
        let mut longest = self.asked[Endpoint::COUNT].max(self.asked[waiter.endpoint as usize]);
        if waiter.claim.class == Class::Backfill {
            longest = longest.max(self.reset);
        }
        if self.open.is_some() {
            longest = longest.max(self.now + UNSAID);
        }
        prop_assert!(self.now < until && until <= longest, "{waiter:?} waits until {until} instead of {longest}");
        self.at(until, Event::Comes(waiter));
        Ok(())
    }

    fn grant(&mut self) -> Result<(), TestCaseError> {
        let now = self.instant(self.now);
        loop {
            let expected = self.whose_turn();
            let waiter = match self.turns.next(now) {
                Next::Granted(waiter) => waiter,
                Next::NotBefore(at) => {
                    prop_assert!(self.setting.pace.is_some());
                    self.at(self.micros(at), Event::Alarm);
                    return Ok(());
                }
                Next::Nobody => {
                    prop_assert_eq!(expected, None, "a permit is free and somebody may go");
                    return Ok(());
                }
            };
            self.grants += 1;
            if self.setting.pace.is_none() {
                prop_assert_eq!(Some(waiter.claim.class), expected, "grant {}", self.grants);
            }
            let position = self.waiting.iter().position(|other| other.claim == waiter.claim).expect("it waited");
            self.waiting.remove(position);
            prop_assert!(self.turns.held() <= self.setting.calls.min(self.window.calls()));
            match self.limits.claim(now, waiter.claim.class, waiter.endpoint) {
                Verdict::Wait { until, .. } => {
                    self.turns.release(waiter.claim);
                    self.comes_again(waiter, until)?;
                }
                verdict => {
                    prop_assert_eq!(verdict, Verdict::Go);
                    self.send(waiter)?;
                }
            }
        }
    }

    /// Returns the class that has the next turn, if a permit is free and nobody keeps a pace.
    fn whose_turn(&self) -> Option<Class> {
        if self.turns.held() >= self.setting.calls.min(self.window.calls()) {
            return None;
        }
        let bulk = self.in_flight.iter().filter(|call| self.calls[**call].waiter.claim.bulk).count();
        let bulk_is_free = bulk < (self.setting.calls / 2).max(1);
        let mut order = vec![Class::Live, Class::Reader, Class::Backfill];
        if (self.grants + 1).is_multiple_of(16) {
            order.reverse();
        }
        let may_go = |class: &Class| {
            self.waiting.iter().any(|waiter| waiter.claim.class == *class && (bulk_is_free || !waiter.claim.bulk))
        };
        order.into_iter().find(may_go)
    }

    fn send(&mut self, waiter: Waiter) -> Result<(), TestCaseError> {
        let everywhere = self.asked[Endpoint::COUNT];
        prop_assert!(self.now >= everywhere, "sent at {} although all wait until {everywhere}", self.now);
        let here = self.asked[waiter.endpoint as usize];
        prop_assert!(self.now >= here, "sent at {} although {} waits until {here}", self.now, waiter.endpoint);
        if let Some(open) = self.open {
            let probes = self.in_flight.iter().filter(|call| **call >= open).count();
            prop_assert_eq!(probes, 0, "one question tries at a time");
        }
        if let (Some(limit), Class::Backfill) = (self.setting.limit, waiter.claim.class) {
            let counted = if self.now / MINUTE == self.counted.0 { self.counted.1 } else { 0 };
            let under_way = self.in_flight.iter().filter(|call| self.calls[**call].counted.is_none()).count() as u64;
            let number = counted + under_way + 1;
            let is_known = self.told == Some(self.now / MINUTE);
            prop_assert!(!is_known || number <= limit - limit / 10, "backfill begins call {number} of {limit}");
        }
        let number = self.calls.len();
        let fate = self.setting.fates[number % self.setting.fates.len()];
        self.calls.push(Call { waiter, sent: self.now, fate, counted: None, left: None });
        self.in_flight.push(number);
        let way = self.setting.ways[number % self.setting.ways.len()];
        self.at(self.now + fate.takes() * way / 10, Event::Counted(number));
        Ok(())
    }

    fn counted(&mut self, number: usize) -> Result<(), TestCaseError> {
        self.calls[number].counted = Some(self.now / MINUTE);
        let call = self.calls[number];
        self.at((call.sent + call.fate.takes()).max(self.now), Event::Ends(number));
        let Some(limit) = self.setting.limit else { return Ok(()) };
        let period = self.now / MINUTE;
        if period != self.counted.0 {
            self.counted = (period, 0);
            self.refused = 0;
        }
        self.counted.1 += 1;
        let used = self.counted.1;
        // In whole seconds, both.
        let reset = (period + 1) * 60 - self.now / SECOND;
        self.calls[number].left = Some((limit.saturating_sub(used), reset * SECOND));
        if used > limit {
            self.refused += 1;
            let in_flight = self.setting.calls as u64;
            prop_assert!(self.refused <= in_flight, "{} calls above the limit", self.refused);
            self.calls[number].fate = Fate::Throttled(call.fate.takes(), reset);
        }
        Ok(())
    }

    fn ends(&mut self, number: usize) -> Result<(), TestCaseError> {
        let Call { waiter, sent, fate, counted, left } = self.calls[number];
        let (sent_at, now) = (self.instant(sent), self.instant(self.now));
        let failed = matches!(fate, Fate::Failed(_) | Fate::Lost);
        if let (Some((remaining, reset)), false) = (left, failed) {
            let reset_in = Some(Duration::from_micros(reset));
            let budget = Budget { limit: self.setting.limit, remaining, reset_in };
            self.limits.budget(now, budget, self.turns.held() as u64);
            self.told = self.told.max(counted);
            self.reset = self.reset.max(self.now + reset);
            if remaining == 0 {
                self.asked[Endpoint::COUNT] = self.asked[Endpoint::COUNT].max(self.now + reset);
            }
        }
        match failed {
            true => {
                self.limits.failed(sent_at, now);
                self.window.failed(sent_at, now);
            }
            false => {
                self.limits.answered(sent_at);
                self.window.answered(waiter.endpoint, sent_at, now, self.turns.held());
            }
        }
        let wait = match fate {
            Fate::Throttled(_, seconds) => Some((None, seconds)),
            Fate::ThrottledHere(_) => Some((Some(waiter.endpoint), 60)),
            _ => None,
        };
        if let Some((endpoint, seconds)) = wait {
            self.limits.throttled(now, endpoint, Duration::from_secs(seconds));
            let asked = &mut self.asked[endpoint.map_or(Endpoint::COUNT, |endpoint| endpoint as usize)];
            *asked = (*asked).max(self.now + seconds.max(1) * SECOND);
        }
        self.open = match self.limits.circuit() {
            Circuit::Closed => None,
            // A try that failed begins another pause.
            _ if self.open.is_none_or(|open| failed && number >= open) => Some(self.calls.len()),
            _ => self.open,
        };
        self.turns.release(waiter.claim);
        self.turns.narrow(self.window.calls());
        self.in_flight.retain(|call| *call != number);
        match fate {
            Fate::Answered(_) => {
                self.served += 1;
                Ok(())
            }
            _ => self.comes(waiter),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_gitlab_answers_nobody_is_too_early_or_too_late_and_everybody_is_served(setting in settings::setting()) {
        let pace = setting.pace;
        let machine = Machine::new(setting).run()?;
        if let Some(pace) = pace {
            let times: Vec<u64> = machine.calls.iter().map(|call| call.sent).collect();
            let most = pace as usize;
            let crowded = times.windows(most + 1).find(|calls| calls[most] - calls[0] < MINUTE);
            prop_assert!(crowded.is_none(), "more than {} calls in a minute", pace);
        }
    }
}
