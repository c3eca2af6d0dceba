//! Samples of the pages of keys and usage, for the tests beside this file.

use super::samples::Samples;
use super::*;
use crate::account::role::Role;
use crate::base::time::Timestamp;
use crate::flow::key_practices::Practice;
use crate::flow::key_view::State;
use crate::flow::usage::{Series, Usage};

const HERE: &str = "/console/keys";
const ID: &str = "7Hd2f9QzAk";
const MASKED: &str = "cnx_prod_7Hd2f9QzAk••••ye8p";

fn at(seconds: i64) -> Moment {
    Moment(Timestamp::from_secs(1_800_000_000 + seconds))
}

impl Samples<'_> {
    fn key_row(&self, state: State) -> KeyRow {
        KeyRow {
            id: ID.to_owned(),
            name: self.text("deploy"),
            masked: MASKED.to_owned(),
            environment: self.text("prod"),
            scopes: vec![self.text("instances:read"), self.text("volumes:*")],
            state,
            last_used: Some(at(-60)),
            last_address: Some(self.text("203.0.113.7")),
            due: Some(at(86_400)),
            is_overdue: true,
            spark: Spark { hours: vec![0, 3, 12, 0, 1, 900] },
        }
    }

    fn amiss(&self, practice: Practice, count: usize) -> Amiss {
        let named = if count == 0 { Vec::new() } else { vec![(ID.to_owned(), self.text("deploy"))] };
        Amiss { practice, count, or_more: count > 100, named }
    }

    fn keys(&self) -> Keys {
        let row = |class, at_once| LimitRow { class, methods: "GET", limit: 1_200, burst: 0, at_once };
        let example = |id, name| Example { id, name, text: format!("export CNX_API_KEY={MASKED}\n") };
        Keys {
            seat: self.seat(Role::Admin, HERE),
            keys: vec![self.key_row(State::Active)],
            next: Some("/console/keys?after=7Hd2f9QzAk".to_owned()),
            is_later: true,
            search: self.text("deploy"),
            ended: true,
            amiss: vec![
                self.amiss(Practice::Old, 101),
                self.amiss(Practice::OpenProduction, 1),
                self.amiss(Practice::WideCi, 0),
                self.amiss(Practice::Idle, 2),
            ],
            tier: "standard",
            limits: vec![row("Reads", false), row("Streams", true)],
            examples: vec![example("example-curl", "curl"), example("example-python", "Python")],
            issuer: "https://id.example.com".to_owned(),
        }
    }

    fn typed_key(&self) -> TypedKey {
        TypedKey {
            name: self.text("deploy"),
            environment: self.text("prod"),
            scopes: self.text("instances:read"),
            description: self.text("for the pipeline"),
            expires: "90".to_owned(),
            expires_at: self.text("2027-01-01T00:00"),
            not_before: self.text("2026-12-01T00:00"),
            allow_ips: self.text("203.0.113.0/24"),
            deny_ips: self.text("203.0.113.7"),
            limits: [self.text("10"), String::new(), String::new(), String::new()],
        }
    }

    fn key_problems(&self, fields: &[&'static str]) -> Problems {
        let problem = |field: &&'static str| FieldProblem {
            field,
            problem: self.text("something else is needed").into(),
        };
        Problems(fields.iter().map(problem).collect())
    }

    fn usage() -> Usage {
        let series = |class: &str, outcome: &str, parts: [i64; 3]| Series {
            class: class.to_owned(),
            outcome: outcome.to_owned(),
            parts: parts.to_vec(),
        };
        Usage {
            begins: [0, 3600, 7200].map(|seconds| at(seconds).0).to_vec(),
            series: vec![
                series("read", "allowed", [1, 200, 3]),
                series("write", "rate_limited", [0, 20, 0]),
                series("token", "refused", [0, 0, 1]),
            ],
        }
    }

    fn key_page(&self) -> Key {
        Key {
            seat: self.seat(Role::Admin, HERE),
            key: self.key_row(State::Disabled),
            description: Some(self.text("for the pipeline")),
            owner: self.text("Ada Lovelace"),
            created: at(-86_400),
            not_before: Some(at(60)),
            expires: Some(at(90 * 86_400)),
            disabled: Some(at(-30)),
            revoked: None,
            reason: None,
            leaked: Some(at(-90)),
            allow: vec![self.text("203.0.113.0/24")],
            deny: vec![self.text("203.0.113.7")],
            limits: vec![("Reads", 10)],
            last_resource: Some(self.text("/v1/instances")),
            before_until: Some(at(3600)),
            before_used: Some(at(-3600)),
            plots: vec![
                Plot::by_class("day", "Requests in the last 24 hours", &Self::usage()),
                Plot::by_class("month", "Requests in the last 30 days", &Self::usage()),
            ],
        }
    }

    /// Adds these pages.
    pub(super) fn add_keys(&self, add: &mut dyn FnMut(&str, &dyn askama::DynTemplate)) {
        add("keys", &self.keys());
        let none = Keys {
            seat: self.seat(Role::Member, HERE),
            keys: Vec::new(),
            next: None,
            is_later: false,
            search: String::new(),
            ended: false,
            ..self.keys()
        };
        add("keys_none", &none);
        let new = |problems| KeyNew {
            seat: self.seat(Role::Member, HERE),
            typed: self.typed_key(),
            sheet: self.text("c2hlZXQ"),
            problems,
        };
        add("key_new", &new(Problems::default()));
        add("key_new_problems", &new(self.key_problems(&["scopes", "expires_at", "allow_ips", "limits"])));
        let edit = |problems| KeyEdit {
            seat: self.seat(Role::Member, HERE),
            id: ID.to_owned(),
            name: self.text("deploy"),
            typed: self.typed_key(),
            problems,
        };
        add("key_edit", &edit(Problems::default()));
        add("key_edit_problems", &edit(self.key_problems(&["name", "description", "deny_ips"])));
        let made = KeyMade {
            seat: self.seat(Role::Member, HERE),
            id: ID.to_owned(),
            name: self.text("deploy"),
            key: "cnx_prod_7Hd2f9QzAk0123456789ABCDEFGHIJKLMNOPQRSTUV3Rye8p".to_owned(),
            rotated: false,
            before_until: None,
            not_before: Some(at(60)),
        };
        add("key_made", &made);
        add("key_rotated", &KeyMade { rotated: true, before_until: Some(at(60)), not_before: None, ..made });
        add("key", &self.key_page());
        let revoked = Key {
            seat: self.seat(Role::Member, HERE),
            key: self.key_row(State::Revoked),
            disabled: None,
            revoked: Some(at(-1)),
            reason: Some(self.text("left the company")),
            allow: Vec::new(),
            plots: Vec::new(),
            ..self.key_page()
        };
        add("key_revoked", &revoked);
        let rotate = |problems| KeyRotate {
            seat: self.seat(Role::Member, HERE),
            id: ID.to_owned(),
            name: self.text("deploy"),
            masked: MASKED.to_owned(),
            before_until: Some(at(60)),
            overlap: "86400".to_owned(),
            sheet: self.text("c2hlZXQ"),
            problems,
        };
        add("key_rotate", &rotate(Problems::default()));
        add("key_rotate_problems", &rotate(self.key_problems(&["overlap_seconds"])));
        let revoke = |problems| KeyRevoke {
            seat: self.seat(Role::Member, HERE),
            id: ID.to_owned(),
            name: self.text("deploy"),
            masked: MASKED.to_owned(),
            last_used: Some(at(-60)),
            requests: 916,
            reason: self.text("left the company"),
            problems,
        };
        add("key_revoke", &revoke(Problems::default()));
        add("key_revoke_problems", &revoke(self.key_problems(&["reason"])));
        self.add_usage(add);
    }

    fn add_usage(&self, add: &mut dyn FnMut(&str, &dyn askama::DynTemplate)) {
        let choice = |value: &str, name: String, is_shown| UsageChoice {
            value: self.text(value),
            name: name.into(),
            is_shown,
        };
        let usage = UsagePage {
            seat: self.seat(Role::Admin, "/console/usage"),
            wholes: vec![choice("keys", "All keys".to_owned(), true)],
            keys: vec![choice("key:7Hd2f9QzAk", self.text("deploy"), false)],
            apps: vec![choice("client:app", self.text("Field Notes"), false)],
            spans: vec![("24h", "24 hours", true), ("7d", "7 days", false)],
            plots: vec![
                Plot::by_class("class", "By kind of request", &Self::usage()),
                Plot::by_outcome("outcome", "By what became of them", &Self::usage()),
            ],
            sums: vec![("Reads", "allowed", 204)],
            key: Some("/console/keys/7Hd2f9QzAk".to_owned()),
        };
        let nothing = Usage { series: Vec::new(), ..Self::usage() };
        let empty = UsagePage {
            plots: vec![Plot::by_class("class", "By kind of request", &nothing)],
            sums: Vec::new(),
            apps: Vec::new(),
            keys: Vec::new(),
            key: None,
            ..usage.clone()
        };
        add("usage", &usage);
        add("usage_empty", &empty);
    }
}
