//! Is what happened to one object explained by a model that takes one operation at a time?
//!
//! An operation takes effect at one moment between its call and its answer; one whose answer never came may take effect at any later moment,
//! or never. The search is that of Wing and Gong with the memory of Lowe: each set of operations that are done is tried once for each state.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// Microseconds since the run began.
pub type Moment = u64;

/// The answer never came.
pub const NEVER: Moment = Moment::MAX;

/// One operation on one object.
#[derive(Clone, Copy, Debug)]
pub struct Event<O> {
    pub called: Moment,
    /// [`NEVER`] when nobody knows whether it took effect.
    pub returned: Moment,
    /// At which node, from 0; the command line is [`TOOL`].
    pub node: u8,
    pub op: O,
}

/// The node of what was done beside all nodes.
pub const TOOL: u8 = u8::MAX;

/// What one object does, one operation at a time.
pub trait Model {
    type Op: Clone + Debug + PartialEq;
    type State: Clone + Eq + Hash;

    fn start(&self) -> Self::State;

    /// The states in which the object may be after `event` took effect in `state` and was answered so; none when that cannot be.
    fn step(&self, state: &Self::State, event: &Event<Self::Op>) -> Vec<Self::State>;

    /// Whether the operation only looks. A smaller history without it proves as much.
    fn looks(op: &Self::Op) -> bool;

    /// How far behind a look may be: for what nodes know by heart.
    fn lag(&self, _op: &Self::Op) -> Moment {
        0
    }
}

/// Whether some order explains these events.
pub fn is_explained<M: Model>(model: &M, events: &[Event<M::Op>]) -> bool {
    let mut search = Search::new(model, events);
    search.run()
}

/// The shortest beginning of the history, as far as answers had come, that no order explains, without the looks that it does not need;
/// `None` when all of it is explained.
pub fn slice<M: Model>(model: &M, events: &[Event<M::Op>]) -> Option<Vec<Event<M::Op>>> {
    if is_explained(model, events) {
        return None;
    }
    let mut answers: Vec<Moment> = events.iter().map(|e| e.returned).filter(|r| *r != NEVER).collect();
    answers.sort_unstable();
    // A longer beginning of an unexplained one is not explained either.
    let first = answers.partition_point(|until| is_explained(model, &beginning(events, *until)));
    let mut left = beginning(events, answers.get(first).copied().unwrap_or(NEVER));
    let mut at = 0;
    while at < left.len() {
        if M::looks(&left[at].op) {
            let without: Vec<_> =
                left.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, e)| e.clone()).collect();
            if !is_explained(model, &without) {
                left = without;
                continue;
            }
        }
        at += 1;
    }
    Some(left)
}

/// What had been called by then; what had no answer yet may or may not have happened.
fn beginning<O: Clone>(events: &[Event<O>], until: Moment) -> Vec<Event<O>> {
    let as_seen =
        |e: &Event<O>| Event { returned: if e.returned > until { NEVER } else { e.returned }, ..e.clone() };
    events.iter().filter(|e| e.called <= until).map(as_seen).collect()
}

/// Operations that took effect, and the state after them.
type Point<S> = (Vec<u64>, S);

struct Search<'a, M: Model> {
    model: &'a M,
    /// In the order of their calls.
    events: Vec<&'a Event<M::Op>>,
    seen: HashSet<Point<M::State>>,
    most_lag: Moment,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, events: &'a [Event<M::Op>]) -> Self {
        let mut events: Vec<&Event<M::Op>> = events.iter().collect();
        events.sort_by_key(|e| (e.called, e.returned));
        let most_lag = events.iter().map(|e| model.lag(&e.op)).max().unwrap_or(0);
        Self { model, events, seen: HashSet::new(), most_lag }
    }

    fn run(&mut self) -> bool {
        let mut open = vec![(vec![0; self.events.len().div_ceil(64)], self.model.start())];
        while let Some((done, state)) = open.pop() {
            let (next, is_whole) = self.next(&done);
            if is_whole {
                return true;
            }
            // A look that fits changes nothing, so that now is as good a moment for it as any.
            let fits = |i: &&usize| {
                let event = self.events[**i];
                M::looks(&event.op) && !self.model.step(&state, event).is_empty()
            };
            let next = next.iter().find(fits).map_or_else(|| next.clone(), |look| vec![*look]);
            // The likeliest comes off the pile first: what was answered first.
            for i in next.into_iter().rev() {
                let mut after = done.clone();
                after[i / 64] |= 1 << (i % 64);
                for next in self.model.step(&state, self.events[i]) {
                    // What may never have happened and would change nothing did not happen.
                    if self.events[i].returned == NEVER && next == state {
                        continue;
                    }
                    let point = (after.clone(), next);
                    if self.seen.insert(point.clone()) {
                        open.push(point);
                    }
                }
            }
        }
        false
    }

    /// The operations that may take effect next, by their answers; and whether nothing that was answered is left.
    fn next(&self, done: &[u64]) -> (Vec<usize>, bool) {
        let is_done = |i: usize| done[i / 64] >> (i % 64) & 1 == 1;
        let (mut earliest, mut open) = (NEVER, Vec::new());
        for (i, event) in self.events.iter().enumerate() {
            if event.called.saturating_sub(self.most_lag) > earliest {
                break;
            }
            if !is_done(i) {
                earliest = earliest.min(event.returned);
                open.push(i);
            }
        }
        open.retain(|i| {
            let event = self.events[*i];
            event.called.saturating_sub(self.model.lag(&event.op)) <= earliest
        });
        // Of several that are alike and may never have happened the first called will do.
        let mut lost: Vec<&M::Op> = Vec::new();
        open.retain(|i| {
            let event = self.events[*i];
            let is_new = event.returned != NEVER || !lost.contains(&&event.op);
            if event.returned == NEVER {
                lost.push(&event.op);
            }
            is_new
        });
        open.sort_by_key(|i| self.events[*i].returned);
        (open, earliest == NEVER)
    }
}
