//! The checker itself: histories with one violation of each kind planted into them, beside the same ones without it.

use super::chance::Chance;
use super::checker::{Event, Model, Moment, NEVER, is_explained, slice};
use super::models::{Assertion, Grant, GrantOp, Key, KeyOp, Session, SessionOp, Told};

const ONLINE: Grant = Grant { online: true, retry: 60 };
const OFFLINE: Grant = Grant { online: false, retry: 60 };
const SECOND: Moment = 1_000_000;

/// From call to answer, in tenths of a second.
fn at<O>(called: Moment, returned: Moment, op: O) -> Event<O> {
    let tenths = |moment: Moment| if moment == NEVER { NEVER } else { moment * SECOND / 10 };
    Event { called: tenths(called), returned: tenths(returned), node: 0, op }
}

const fn redeem(told: Told<u32>) -> GrantOp {
    GrantOp::Redeem(told)
}

const fn refresh(shown: u32, told: Told<u32>) -> GrantOp {
    GrantOp::Refresh { shown, told }
}

/// A quiet life: redeemed, used, refreshed twice, asked about.
fn quiet() -> Vec<Event<GrantOp>> {
    vec![
        at(0, 10, redeem(Told::Yes(0))),
        at(11, 12, GrantOp::AskAccess { alive: true }),
        at(13, 20, refresh(0, Told::Yes(1))),
        at(21, 22, GrantOp::AskRefresh { shown: 0, alive: true }),
        at(23, 30, refresh(1, Told::Yes(2))),
        at(31, 32, GrantOp::AskRefresh { shown: 0, alive: false }),
        at(33, 34, GrantOp::AskAccess { alive: true }),
    ]
}

fn with(more: &[Event<GrantOp>]) -> Vec<Event<GrantOp>> {
    [quiet(), more.to_vec()].concat()
}

#[track_caller]
fn explained<M: Model>(model: &M, events: &[Event<M::Op>]) {
    if let Some(slice) = slice(model, events) {
        panic!("no order explains:\n{}", super::lines(&slice));
    }
}

/// Found, in a slice that is a violation by itself and holds what was planted.
#[track_caller]
fn found<M: Model>(model: &M, events: &[Event<M::Op>]) -> Vec<Event<M::Op>> {
    let slice = slice(model, events).expect("it is found");
    assert!(!is_explained(model, &slice) && slice.len() <= events.len());
    slice
}

#[test]
fn a_code_that_was_redeemed_twice_is_found_f28_p1() {
    for second in
        [at(5, 12, redeem(Told::Yes(7))), at(40, 50, redeem(Told::Yes(7))), at(40, 50, redeem(Told::Yes(0)))]
    {
        found(&ONLINE, &with(&[second]));
    }
    // A lost answer that came to nothing.
    explained(&ONLINE, &[at(0, NEVER, redeem(Told::Nothing)), at(11, 20, redeem(Told::Yes(0)))]);
    // A replay that left everything alive (D4), and one that ended it.
    let replay = at(40, 50, redeem(Told::No));
    found(&ONLINE, &with(&[replay, at(51, 52, GrantOp::AskAccess { alive: true })]));
    explained(&ONLINE, &with(&[replay, at(51, 52, GrantOp::AskAccess { alive: false })]));
}

#[test]
fn two_live_successors_of_a_refresh_token_are_found_f28_p1() {
    let first = at(40, 50, refresh(2, Told::Yes(3)));
    for second in [at(41, 49, refresh(2, Told::Yes(4))), at(60, 70, refresh(2, Told::Yes(4)))] {
        found(&ONLINE, &with(&[first, second]));
        // The answer of the first was lost; that one is no excuse either, once it was asked for again.
        let lost = Event { returned: NEVER, ..at(40, 50, refresh(2, Told::Nothing)) };
        explained(&ONLINE, &with(&[lost, second]));
        found(&ONLINE, &with(&[lost, second, at(71, 80, refresh(2, Told::Yes(5)))]));
    }
    // The same one again is how a lost answer is made good (D1).
    explained(
        &ONLINE,
        &with(&[first, at(41, 49, refresh(2, Told::Yes(3))), at(60, 70, refresh(2, Told::Yes(3)))]),
    );
}

#[test]
fn an_old_refresh_token_that_is_accepted_is_found_f28_p1() {
    for told in [Told::Yes(1), Told::Yes(2), Told::Yes(3)] {
        found(&ONLINE, &with(&[at(40, 50, refresh(0, told))]));
    }
    let replay = at(40, 50, refresh(0, Told::No));
    for alive in [
        GrantOp::AskAccess { alive: true },
        GrantOp::AskRefresh { shown: 2, alive: true },
        refresh(2, Told::Yes(3)),
    ] {
        found(&ONLINE, &with(&[replay, at(51, 60, alive)]));
    }
    explained(
        &ONLINE,
        &with(&[replay, at(51, 60, refresh(2, Told::No)), at(61, 62, GrantOp::AskAccess { alive: false })]),
    );
    // A replay whose answer was lost may have ended the family, and may have not; it does not do both.
    let lost = at(40, NEVER, refresh(0, Told::Nothing));
    let (alive, dead) =
        (at(51, 60, GrantOp::AskAccess { alive: true }), at(61, 70, GrantOp::AskAccess { alive: false }));
    explained(&ONLINE, &with(&[lost, alive, dead]));
    found(&ONLINE, &with(&[lost, at(41, 50, GrantOp::AskAccess { alive: false }), alive]));
}

#[test]
fn a_predecessor_is_taken_for_as_long_as_it_should_and_no_longer_f28() {
    // The second rotation was asked for between 2.3 s and 3 s.
    for (called, returned, told, good) in [
        (610, 620, Told::Yes(2), true),
        (610, 620, Told::No, false),
        (650, 660, Told::Yes(2), false),
        (650, 660, Told::No, true),
        (600, 650, Told::Yes(2), true),
        (600, 650, Told::No, true),
    ] {
        let history = with(&[at(called, returned, refresh(1, told))]);
        assert_eq!(is_explained(&ONLINE, &history), good, "{called} {returned} {told:?}");
    }
    found(&ONLINE, &with(&[at(650, 651, GrantOp::AskRefresh { shown: 1, alive: true })]));
}

#[test]
fn what_lives_after_its_end_was_acknowledged_is_found_f28_p3() {
    for (model, end, ends) in [
        (ONLINE, GrantOp::Revoke, true),
        (ONLINE, GrantOp::EndSession, true),
        (ONLINE, GrantOp::EndUser, true),
        (OFFLINE, GrantOp::Revoke, true),
        (OFFLINE, GrantOp::EndSession, false),
        (OFFLINE, GrantOp::EndUser, true),
    ] {
        let end = at(40, 50, end);
        for (alive, dead) in [
            (GrantOp::AskAccess { alive: true }, GrantOp::AskAccess { alive: false }),
            (GrantOp::AskRefresh { shown: 2, alive: true }, GrantOp::AskRefresh { shown: 2, alive: false }),
            (refresh(2, Told::Yes(3)), refresh(2, Told::No)),
        ] {
            for (op, good) in [(alive, !ends), (dead, ends)] {
                let after = at(51, 60, op);
                assert_eq!(is_explained(&model, &with(&[end, after])), good, "{:?} {op:?}", end.op);
                // While it was under way either may be, but not the end first and life later.
                if ends {
                    explained(&model, &with(&[end, at(41, 49, op)]));
                    found(&model, &with(&[end, at(41, 43, dead), at(44, 46, alive)]));
                }
            }
        }
        // A code that is redeemed when what it stands on is gone.
        if end.op != GrantOp::Revoke {
            found(&model, &[end, at(51, 60, redeem(Told::Yes(0)))]);
            explained(&model, &[end, at(51, 60, redeem(Told::No))]);
        }
    }
}

#[test]
fn what_is_refused_although_nothing_ended_it_is_found_f28_p2() {
    for refused in [
        refresh(2, Told::No),
        refresh(1, Told::No),
        GrantOp::AskAccess { alive: false },
        GrantOp::AskRefresh { shown: 2, alive: false },
        GrantOp::AskRefresh { shown: 1, alive: false },
    ] {
        let slice =
            found(&OFFLINE, &with(&[at(40, 50, refused), at(51, 60, GrantOp::AskAccess { alive: true })]));
        assert!(slice.last().unwrap().op == refused, "{slice:?}");
        // What came before and proves nothing is left out.
        assert!(slice.len() < quiet().len(), "{slice:?}");
    }
    found(&ONLINE, &[at(0, 10, redeem(Told::No))]);
}

#[test]
fn a_rotation_that_is_gone_after_it_was_acknowledged_is_found_f28_p2() {
    // As if a node had come back without what it answered last: the spent token rotates once more, to another one.
    found(&ONLINE, &with(&[at(40, 50, refresh(2, Told::Yes(3))), at(51, 60, refresh(3, Told::No))]));
    found(&ONLINE, &with(&[at(40, 50, refresh(1, Told::Yes(4)))]));
}

#[test]
fn sessions_assertions_and_keys_that_break_their_promise_are_found_f28_p1_p3() {
    let authorize = |signed_in| SessionOp::Authorize { signed_in };
    for end in [SessionOp::SignOut, SessionOp::EndUser] {
        let end = at(10, 20, end);
        explained(
            &Session,
            &[at(0, 5, authorize(true)), end, at(15, 25, authorize(true)), at(26, 30, authorize(false))],
        );
        found(&Session, &[end, at(21, 25, authorize(true))]);
        found(&Session, &[end, at(11, 13, authorize(false)), at(14, 16, authorize(true))]);
    }
    found(&Session, &[at(0, 5, authorize(false))]);

    let (yes, no) = (Told::Yes(()), Told::No);
    explained(&Assertion, &[at(0, 10, yes), at(1, 9, no), at(11, 12, no)]);
    found(&Assertion, &[at(0, 10, yes), at(1, 9, yes)]);
    found(&Assertion, &[at(0, 10, yes), at(11, 12, yes)]);
    found(&Assertion, &[at(0, 10, no), at(11, 12, yes)]);
    explained(&Assertion, &[at(0, NEVER, Told::Nothing), at(11, 12, no)]);
    explained(&Assertion, &[at(0, NEVER, Told::Nothing), at(11, 12, yes)]);

    let (key, verify) = (Key { lag: SECOND }, |good| KeyOp::Verify { good });
    let life = [at(0, 1, KeyOp::Mint), at(30, 31, KeyOp::Revoke)];
    for (called, good, fine) in [
        (2, false, true),
        (2, true, true),
        (12, false, false),
        (20, true, true),
        (20, false, false),
        (40, true, true),
        (42, true, false),
        (42, false, true),
    ] {
        let history = [life[0], life[1], at(called, called + 1, verify(good))];
        assert_eq!(is_explained(&key, &history), fine, "{called} {good}");
    }
}

/// What one server would answer, at moments that overlap: whatever comes of that is explained, and one false word in it is found.
#[test]
fn histories_of_a_right_server_are_explained_and_one_false_word_is_found_f28() {
    let mut lies = 0;
    for seed in 0..400 {
        let mut chance = Chance::of(seed, 0);
        let mut honest = right_server(&mut chance);
        explained(&ONLINE, &honest);
        let alone = |i: &usize| {
            let event = honest[*i];
            matches!(event.op, GrantOp::AskAccess { .. })
                && honest
                    .iter()
                    .enumerate()
                    .all(|(j, e)| j == *i || e.returned < event.called || e.called > event.returned)
        };
        let Some(lie) = (0..honest.len()).rev().find(alone) else { continue };
        let GrantOp::AskAccess { alive } = honest[lie].op else { unreachable!() };
        honest[lie].op = GrantOp::AskAccess { alive: !alive };
        lies += 1;
        found(&ONLINE, &honest);
    }
    assert!(lies > 100, "{lies}");
}

/// A grant as the design has it, told by other means than the model: a list of tokens and whether it is over.
fn right_server(chance: &mut Chance) -> Vec<Event<GrantOp>> {
    let mut events = Vec::new();
    let (mut given, mut over) = (1_u32, false);
    let mut moment = 0;
    for step in 0..30 {
        moment += 1 + u64::try_from(chance.below(20)).unwrap();
        let alive = !over;
        let op = match chance.below(12) {
            _ if step == 0 => redeem(Told::Yes(0)),
            0..5 => {
                let shown = given - 1 - u32::try_from(chance.below(2)).unwrap().min(given - 1);
                // Whether a rotation took place at this moment or when it is asked for again, the same is answered then.
                if chance.in_thousand(100) {
                    refresh(shown, Told::Nothing)
                } else if over {
                    refresh(shown, Told::No)
                } else {
                    given += u32::from(shown == given - 1);
                    refresh(shown, Told::Yes(given - 1))
                }
            }
            5 => {
                let old = given.saturating_sub(3);
                over |= given > 2;
                if given > 2 { refresh(old, Told::No) } else { GrantOp::AskAccess { alive } }
            }
            6 if chance.in_thousand(200) => {
                over = true;
                GrantOp::Revoke
            }
            7 => GrantOp::AskRefresh { shown: given - 1, alive },
            _ => GrantOp::AskAccess { alive },
        };
        // Around the moment at which it happened; the first is over before anybody has a token. Some answers are lost.
        let reach = |chance: &mut Chance| if step == 0 { 0 } else { u64::try_from(chance.below(8)).unwrap() };
        let called = moment - reach(chance).min(moment - 1);
        let is_lost = matches!(op, GrantOp::Refresh { told: Told::Nothing, .. });
        let returned = if is_lost { NEVER } else { moment + reach(chance) };
        events.push(Event { called, returned, node: 0, op });
    }
    events
}
