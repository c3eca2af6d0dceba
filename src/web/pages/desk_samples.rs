//! The console's building blocks, each in the states that look different.

use super::samples::Samples;
use crate::account::role::Role;
use crate::base::time::Timestamp;
use crate::web::pages::desk::{
    Act, Desk, Field, Kind, Piece, Section, Table, Tone, at, code, say, tag, text,
};

impl Samples<'_> {
    /// A list, a thing, a form as it is at first and as it comes back.
    pub(super) fn desks(&self) -> Vec<(&'static str, Desk)> {
        let wrong = {
            let mut page = self.form_desk("Invite somebody");
            if let Some(act) = page.sections.iter_mut().flat_map(|section| &mut section.acts).next() {
                act.refuse("email", self.text("it is taken"));
                act.refuse("notes", self.text("https://example.org: an https URL is allowed"));
            }
            page.refused = Some(self.text("only an owner makes owners"));
            page
        };
        let mut empty = Desk::new(self.seat(Role::Admin, "/console/sessions"), "Sign-ins", "");
        let table = Table { caption: "Sign-ins", empty: "Nobody is signed in.", ..Table::default() };
        empty.sections = vec![Section { table: Some(table), ..Section::default() }];
        vec![
            ("desk_list", self.list_desk()),
            ("desk_empty", empty),
            ("desk_thing", self.thing_desk()),
            ("desk_form", self.form_desk("Invite somebody")),
            ("desk_form_problems", wrong),
        ]
    }

    fn list_desk(&self) -> Desk {
        let mut page = Desk::new(
            self.seat(Role::Owner, "/console/people"),
            "People",
            "Everybody with an account, and what they may do.",
        );
        let now = Timestamp::from_secs(1_800_000_000);
        let row = |n: usize, tone| {
            let end = Act::new(self.text("/console/sessions"), format!("session-end-{n}"), "end", "End");
            vec![
                vec![Piece::Link("/console/people/1".to_owned(), self.text("Ada Lovelace"))],
                vec![text(self.text("ada@example.com")), say("verified")],
                vec![tag("active", tone)],
                vec![Piece::At(now), at(None, "not lately")],
                vec![code(&self.text("0199f3c2")), Piece::Form(Box::new(end.tone(Tone::Danger)))],
            ]
        };
        let table = Table {
            caption: "People",
            heads: vec!["Name", "E-mail", "State", "Last sign-in", ""],
            rows: vec![row(0, Tone::Good), row(1, Tone::Doubt), row(2, Tone::Danger)],
            empty: "There is nobody here.",
            next: Some("/console/people?after=ada".to_owned()),
            first: Some("/console/people".to_owned()),
        };
        let filter = Act::asking("/console/audit", "audit-filter", "Show")
            .fields(vec![Field::new("act", "Act", Kind::Line("off"), self.text("key.*")).optional()]);
        page.ways = vec![("/console/people/invite".to_owned(), "Invite somebody")];
        page.sections = vec![
            Section { acts: vec![filter], ..Section::default() },
            Section { table: Some(table), ..Section::default() },
        ];
        page
    }

    fn thing_desk(&self) -> Desk {
        let mut page = Desk::new(self.seat(Role::Admin, "/console/apps"), "App", "");
        page.above = Some(("/console/apps", "Apps"));
        page.thing = Some(self.text("Field Notes"));
        let mut secret = Section::headed("What the app needs");
        secret.about = vec![
            vec![say("The secret is shown this once: keep it now. Here is only a keyed hash of it.")],
            vec![Piece::Secret("client-secret", self.text("cnx_cs_x"))],
        ];
        let mut change = Section::headed("Change");
        change.facts = vec![
            ("Client ID", vec![code(&self.text("field-notes"))]),
            (
                "More",
                vec![Piece::Go("/console/audit".to_owned(), "What it did".into()), Piece::Swatch("accent")],
            ),
        ];
        change.acts = vec![
            Act::new("/console/apps/1", "app-delete", "delete", "Delete")
                .tone(Tone::Danger)
                .fold("Delete the app")
                .hidden("seen", self.text("x"))
                .about(vec![say("It works again as before.")]),
        ];
        page.sections = vec![secret, change];
        page
    }

    fn form_desk(&self, title: &'static str) -> Desk {
        let mut page = Desk::new(self.seat(Role::Owner, "/console/people"), title, "");
        let choices = vec![("member".to_owned(), "member: their own keys and their own account".into())];
        let act = Act::new("/console/people/invite", "person-invite", "invite", "Invite")
            .tone(Tone::Good)
            .hidden("client_id", self.text("x"))
            .fields(vec![
                Field::new("email", "E-mail", Kind::Email, self.text("ada@example.com")),
                Field::new("name", "Full name", Kind::Line("off"), self.text("Ada")).optional(),
                Field::new("role", "Role", Kind::Choice(choices), "member"),
                Field::new("notes", "Redirect URIs", Kind::Lines, self.text("https://notes.example.com"))
                    .optional()
                    .hint("One URI on each line."),
                Field::new("opaque", "It uses stock google-auth libraries", Kind::Check, "yes"),
            ]);
        page.sections = vec![Section { acts: vec![act], ..Section::default() }];
        page
    }
}
