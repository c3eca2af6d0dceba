//! Refresh tokens against a model: whatever several actors present at the same moment, their answers are those of some order in which they
//! came one after another (P1, F28 in the middle: `tests/cluster` does it on three nodes).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::token_requests::{refresh, tokens};
use crate::world::{Reply, TestClient, World, on_both};

/// How many histories are played on each database.
const HISTORIES: usize = 12;

/// What one actor does.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Presents the token that is so many generations older than the newest one that anybody holds.
    Present(usize),
    /// Gives the newest token back (RFC 7009).
    Revoke,
}

/// What some actors do at once, after some seconds.
#[derive(Clone, Debug)]
struct Step {
    wait: i64,
    acts: Vec<Act>,
}

/// What a family is to the model: architecture §5.9 in four lines, and nothing of how it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Model {
    newest: usize,
    rotated_at: i64,
    revoked: bool,
}

impl Model {
    /// The generation that a presented one is answered with; `None` for a refusal.
    fn present(&mut self, generation: usize, now: i64) -> Option<usize> {
        match self.newest.checked_sub(generation)? {
            _ if self.revoked => return None,
            0 => (self.newest, self.rotated_at) = (self.newest + 1, now),
            1 if now - self.rotated_at <= 60 => {}
            _ => self.revoked = true,
        }
        (!self.revoked).then_some(self.newest)
    }
}

/// What was done, and what was answered.
#[derive(Clone, Copy, Debug)]
enum Done {
    Presented(usize, Option<usize>),
    Revoked,
}

/// Every state that the model may be in after these happened in some order.
fn orders(model: Model, open: &[Done], now: i64, reached: &mut BTreeSet<Model>) {
    if open.is_empty() {
        reached.insert(model);
    }
    for (at, done) in open.iter().enumerate() {
        let mut next = model;
        let fits = match *done {
            Done::Presented(generation, answer) => next.present(generation, now) == answer,
            Done::Revoked => {
                next.revoked = true;
                true
            }
        };
        if fits {
            let rest: Vec<Done> = [&open[..at], &open[at + 1..]].concat();
            orders(next, &rest, now, reached);
        }
    }
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![12 => (0_usize..2).prop_map(Act::Present), 2 => (2_usize..4).prop_map(Act::Present), 1 => Just(Act::Revoke)];
    let wait = prop_oneof![4 => Just(0_i64), 2 => 1_i64..60, 1 => Just(60), 1 => 61_i64..90];
    let step = (wait, prop::collection::vec(act, 1..5)).prop_map(|(wait, acts)| Step { wait, acts });
    prop::collection::vec(step, 4..10)
}

/// Plays a history; says how many answers were tokens.
async fn play(world: &World, client: &TestClient, history: &[Step]) -> usize {
    let first = tokens(world, client, "ada").await.refresh().to_owned();
    let mut known: BTreeMap<usize, String> = BTreeMap::from([(0, first)]);
    let mut possible = BTreeSet::from([Model { newest: 0, rotated_at: world.now(), revoked: false }]);
    let mut given = 0;
    for step in history {
        world.advance(step.wait);
        let now = world.now();
        let newest = *known.keys().next_back().unwrap();
        let asked: Vec<(Act, usize)> = step
            .acts
            .iter()
            .map(|act| match act {
                Act::Present(back) => (*act, newest.saturating_sub(*back)),
                Act::Revoke => (*act, newest),
            })
            .collect();
        let replies: Vec<Reply> = join_all(asked.iter().map(async |(act, generation)| match act {
            Act::Present(_) => refresh(world, client, &known[generation]).await,
            Act::Revoke => {
                let form = [("client_id", client.id.as_str()), ("token", known[generation].as_str())];
                world.post("/oauth2/revoke", Some(client), &form).await
            }
        }))
        .await;
        let mut done = Vec::new();
        for ((act, generation), reply) in asked.iter().zip(&replies) {
            done.push(match (act, reply.status) {
                (Act::Revoke, 200) => Done::Revoked,
                (Act::Present(_), 200) => {
                    given += 1;
                    let token = reply.json()["refresh_token"].as_str().unwrap().to_owned();
                    // One text for each generation: a token that is not known is that of the next one.
                    let is_it = known.iter().find(|(_, text)| **text == token).map(|(n, _)| *n);
                    let next = known.len();
                    let answered = is_it.unwrap_or_else(|| {
                        known.insert(next, token);
                        next
                    });
                    Done::Presented(*generation, Some(answered))
                }
                (Act::Present(_), 400) if reply.error() == "invalid_grant" => {
                    Done::Presented(*generation, None)
                }
                _ => panic!("{act:?}: {} {}", reply.status, reply.text),
            });
        }
        let mut reached = BTreeSet::new();
        for model in &possible {
            orders(*model, &done, now, &mut reached);
        }
        assert!(
            !reached.is_empty(),
            "in no order is {done:?} answered so, from {possible:?}; the history: {history:?}"
        );
        possible = reached;
    }
    given
}

on_both! {
    async fn whatever_actors_do_at_once_their_answers_have_an_order_p1_f28(world: World) {
        world.add_user("ada").await;
        let mut runner = TestRunner::default();
        let (mut given, mut asked) = (0, 0);
        for n in 0..HISTORIES {
            let client = if n % 2 == 0 { world.web_client().await } else { world.public_client().await };
            let history = histories().new_tree(&mut runner).unwrap().current();
            asked += history.iter().map(|step| step.acts.len()).sum::<usize>();
            given += play(&world, &client, &history).await;
        }
        assert!(given > HISTORIES && given < asked, "{given} of {asked} were given: the model saw one side only");
    }
}
