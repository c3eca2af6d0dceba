//! Samples of the pages of passkeys.

use super::samples::Samples;
use crate::account::role::Role;
use crate::base::time::Timestamp;
use crate::web::pages::{FieldProblem, PasskeyAsk, PasskeyLine, Passkeys, Problems, When};

impl Samples<'_> {
    /// What a page asks the browser for.
    pub(super) fn passkey_ask(&self) -> PasskeyAsk {
        PasskeyAsk { options: self.text(r#"{"challenge":"AQID"}"#), challenge: self.text("Y2hhbGxlbmdl") }
    }

    /// A person's passkeys, in the states that look different.
    pub(super) fn add_passkeys(&self, add: &mut dyn FnMut(&str, &dyn askama::DynTemplate)) {
        let at = |seconds| When::at(Timestamp::from_secs(1_800_000_000 + seconds));
        let line = |name: &str, used: Option<i64>| PasskeyLine {
            id: self.text("AQIDBA"),
            name: self.text(name),
            added: at(0),
            used: used.map(at),
        };
        let page = Passkeys {
            seat: self.seat(Role::Member, "/account/passkeys"),
            passkeys: vec![line("This computer", Some(600)), line("Phone", None)],
            ask: Some(self.passkey_ask()),
            possible: true,
            name: String::new(),
            problems: Problems::default(),
        };
        add("passkeys", &page);
        add("passkeys_none", &Passkeys { passkeys: Vec::new(), ..page.clone() });
        add("passkeys_full", &Passkeys { ask: None, ..page.clone() });
        add(
            "passkeys_impossible",
            &Passkeys { ask: None, possible: false, passkeys: Vec::new(), ..page.clone() },
        );
        for (name, field) in [("passkeys_wrong_name", "name"), ("passkeys_wrong", "passkey")] {
            let problems = Problems(vec![FieldProblem { field, problem: self.text("No.").into() }]);
            add(name, &Passkeys { name: self.text("Laptop"), problems, ..page.clone() });
        }
    }
}
