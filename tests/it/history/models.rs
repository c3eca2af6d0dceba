//! The sequential models: what a grant, a session, an assertion and an API key do, one operation at a time (requirements P1-P3, D1, D4).

use super::checker::{Event, Model, Moment};

const SECOND: Moment = 1_000_000;

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told<T> {
    Yes(T),
    No,
    /// The connection broke, or the server could not decide: it may have happened or not.
    Nothing,
}

/// A refresh token of a grant, by the order in which the run first saw it.
pub type Token = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantOp {
    /// The code is presented.
    Redeem(Told<Token>),
    Refresh {
        shown: Token,
        told: Told<Token>,
    },
    /// Introspection of a refresh token.
    AskRefresh {
        shown: Token,
        alive: bool,
    },
    /// Introspection or userinfo of any access token of the grant.
    AskAccess {
        alive: bool,
    },
    Revoke,
    /// The browser session of the grant ends.
    EndSession,
    /// The person is disabled.
    EndUser,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GrantState {
    /// The code was given out.
    Fresh,
    /// The code was given out, and what it stood on is gone.
    Barred,
    Live {
        /// The live refresh token; nobody was told which when the answer was lost.
        current: Option<Token>,
        previous: Option<Token>,
        /// Between which moments the last rotation was asked for.
        rotated: (Moment, Moment),
    },
    Dead,
}

/// A code, the family that it begins, and everything that hangs on it.
pub struct Grant {
    /// Whether it ends with its session.
    pub online: bool,
    /// So long the predecessor gets the same successor again, in seconds.
    pub retry: u64,
}

impl Model for Grant {
    type Op = GrantOp;
    type State = GrantState;

    fn start(&self) -> GrantState {
        GrantState::Fresh
    }

    fn step(&self, state: &GrantState, event: &Event<GrantOp>) -> Vec<GrantState> {
        use GrantState::{Barred, Dead, Fresh, Live};
        let is = |holds: bool, next: GrantState| if holds { vec![next] } else { Vec::new() };
        match (event.op, state) {
            (GrantOp::Redeem(told), Fresh) => match told {
                Told::Yes(token) => vec![Live { current: Some(token), previous: None, rotated: (0, 0) }],
                Told::No => Vec::new(),
                Told::Nothing => vec![Live { current: None, previous: None, rotated: (0, 0) }],
            },
            // Spent, or a replay that ends what the first use began (D4); or of a grant that is over.
            (GrantOp::Redeem(told), Barred | Live { .. } | Dead) | (GrantOp::Refresh { told, .. }, Dead) => {
                is(!matches!(told, Told::Yes(_)), Dead)
            }
            (GrantOp::Refresh { shown, told }, Live { .. }) => self.refresh(state, event, shown, told),
            (GrantOp::AskRefresh { shown, alive }, Live { current, previous, rotated }) => {
                let may = if *current == Some(shown) {
                    alive
                } else if *previous == Some(shown) {
                    if alive { self.may_be_early(*rotated, event) } else { self.may_be_late(*rotated, event) }
                } else {
                    !alive
                };
                is(may, state.clone())
            }
            (GrantOp::AskAccess { alive }, Live { .. }) => is(alive, state.clone()),
            (GrantOp::AskRefresh { alive, .. } | GrantOp::AskAccess { alive }, Dead) => is(!alive, Dead),
            (GrantOp::EndSession | GrantOp::EndUser, Fresh | Barred) => vec![Barred],
            (GrantOp::EndSession, Live { .. }) if !self.online => vec![state.clone()],
            (GrantOp::Revoke | GrantOp::EndSession | GrantOp::EndUser, Live { .. } | Dead) => vec![Dead],
            // No token was given yet, so none can be shown.
            (
                GrantOp::Refresh { .. }
                | GrantOp::AskRefresh { .. }
                | GrantOp::AskAccess { .. }
                | GrantOp::Revoke,
                Fresh | Barred,
            ) => Vec::new(),
        }
    }

    fn looks(op: &GrantOp) -> bool {
        matches!(op, GrantOp::AskRefresh { .. } | GrantOp::AskAccess { .. })
    }
}

impl Grant {
    /// D1: the live token rotates, its predecessor gets the same successor again for a while, anything older ends the family.
    fn refresh(
        &self,
        state: &GrantState,
        event: &Event<GrantOp>,
        shown: Token,
        told: Told<Token>,
    ) -> Vec<GrantState> {
        let GrantState::Live { current, previous, rotated } = state else { return Vec::new() };
        let window = (event.called, event.returned);
        if *current == Some(shown) {
            let next = |current| GrantState::Live { current, previous: Some(shown), rotated: window };
            return match told {
                Told::Yes(new) if new != shown && Some(new) != *previous => vec![next(Some(new))],
                Told::Yes(_) | Told::No => Vec::new(),
                Told::Nothing => vec![next(None)],
            };
        }
        let mut after = Vec::new();
        let repeated = *previous == Some(shown);
        if repeated && self.may_be_early(*rotated, event) {
            match told {
                Told::Yes(again) if current.is_none_or(|current| current == again) && again != shown => {
                    after.push(GrantState::Live {
                        current: Some(again),
                        previous: *previous,
                        rotated: *rotated,
                    });
                }
                Told::Yes(_) | Told::No => {}
                Told::Nothing => after.push(state.clone()),
            }
        }
        if !matches!(told, Told::Yes(_)) && (!repeated || self.may_be_late(*rotated, event)) {
            after.push(GrantState::Dead);
        }
        after
    }

    /// Servers compare whole seconds.
    fn may_be_early(&self, rotated: (Moment, Moment), event: &Event<GrantOp>) -> bool {
        event.called.saturating_sub(rotated.1) < (self.retry + 1) * SECOND
    }

    fn may_be_late(&self, rotated: (Moment, Moment), event: &Event<GrantOp>) -> bool {
        event.returned.saturating_sub(rotated.0) > self.retry * SECOND
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOp {
    /// An authorization request without pages: a code, or "sign in first".
    Authorize {
        signed_in: bool,
    },
    SignOut,
    /// The person is disabled.
    EndUser,
}

/// A browser session; the state is whether it is live.
pub struct Session;

impl Model for Session {
    type Op = SessionOp;
    type State = bool;

    fn start(&self) -> bool {
        true
    }

    fn step(&self, live: &bool, event: &Event<SessionOp>) -> Vec<bool> {
        match event.op {
            SessionOp::Authorize { signed_in } if signed_in == *live => vec![*live],
            SessionOp::Authorize { .. } => Vec::new(),
            SessionOp::SignOut | SessionOp::EndUser => vec![false],
        }
    }

    fn looks(op: &SessionOp) -> bool {
        matches!(op, SessionOp::Authorize { .. })
    }
}

/// An assertion is presented; the state is whether it was taken.
pub struct Assertion;

impl Model for Assertion {
    type Op = Told<()>;
    type State = bool;

    fn start(&self) -> bool {
        false
    }

    fn step(&self, taken: &bool, event: &Event<Told<()>>) -> Vec<bool> {
        match (event.op, taken) {
            (Told::Yes(()) | Told::Nothing, false) | (Told::No | Told::Nothing, true) => vec![true],
            (Told::No, false) | (Told::Yes(()), true) => Vec::new(),
        }
    }

    fn looks(_op: &Told<()>) -> bool {
        false
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOp {
    Mint,
    Verify { good: bool },
    Revoke,
}

/// An API key, which nodes know by heart: what was changed elsewhere is in force `lag` later.
pub struct Key {
    pub lag: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    Unknown,
    Good,
    Revoked,
}

impl Model for Key {
    type Op = KeyOp;
    type State = KeyState;

    fn start(&self) -> KeyState {
        KeyState::Unknown
    }

    fn step(&self, state: &KeyState, event: &Event<KeyOp>) -> Vec<KeyState> {
        match (event.op, state) {
            (KeyOp::Mint, KeyState::Unknown) => vec![KeyState::Good],
            (KeyOp::Verify { good }, _) if good == (*state == KeyState::Good) => vec![*state],
            (KeyOp::Revoke, KeyState::Good | KeyState::Revoked) => vec![KeyState::Revoked],
            _ => Vec::new(),
        }
    }

    fn looks(op: &KeyOp) -> bool {
        matches!(op, KeyOp::Verify { .. })
    }

    fn lag(&self, op: &KeyOp) -> Moment {
        if Self::looks(op) { self.lag } else { 0 }
    }
}
