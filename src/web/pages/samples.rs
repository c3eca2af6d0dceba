//! Samples of every page, in each state that looks different, for the tests beside this file.

use super::*;
use crate::account::role::Role;
use crate::flow::sign_in::upstream::Failure;

/// A value that breaks out wherever it is not escaped, in text and in either kind of quotes, with a bidi override.
pub(super) const HOSTILE: &str = "</title>\"'><x-evil onload=alert(1) style=\"color:red\"></x-evil><script>alert(1)</script>&lt;\u{202e}\u{2066}{{7*7}}";

/// Makes the samples; each value passes through `value`.
pub(super) struct Samples<'a> {
    lang: Lang,
    value: &'a dyn Fn(&str) -> String,
}

impl Samples<'_> {
    pub(super) fn text(&self, sample: &str) -> String {
        (self.value)(sample)
    }

    pub(super) fn frame(&self) -> Frame {
        Frame {
            lang: self.lang,
            product: self.text("CloudNexus Identity"),
            logo: Some("/assets/organization/logo.00000000000.png".to_owned()),
            style: Some("/assets/organization/style.00000000000.css".to_owned()),
            host: self.text("id.example.com"),
        }
    }

    pub(super) fn seat(&self, role: Role, here: &'static str) -> Seated {
        Seated {
            frame: self.frame(),
            person: self.person(),
            role,
            here,
            csrf_token: self.text("c3Jm"),
            notice: None,
        }
    }

    pub(super) fn form(&self, action: &'static str) -> Form {
        Form { action, csrf_token: self.text("c3Jm"), request: self.text("cmVxdWVzdA") }
    }

    pub(super) fn app(&self) -> AskingApp {
        AskingApp {
            name: self.text("Field Notes"),
            publisher_verified: true,
            site: Some(self.text("notes.example.com")),
            policy_url: Some(self.text("https://notes.example.com/privacy")),
            terms_url: Some(self.text("https://notes.example.com/terms")),
        }
    }

    pub(super) fn person(&self) -> Person {
        Person { name: self.text("Ada Lovelace"), login: self.text("ada@example.com") }
    }

    pub(super) fn scope(&self, word: &str) -> ScopeInWords {
        ScopeInWords::of(&self.text(word))
    }

    fn sign_in(&self) -> SignIn {
        SignIn {
            frame: self.frame(),
            form: self.form("/sign-in"),
            app: Some(self.app()),
            username: String::new(),
            next: String::new(),
            again: None,
            mail: false,
            passkey: Some(self.passkey_ask()),
            providers: Vec::new(),
            notice: None,
            problem: None,
        }
    }

    fn consent(&self) -> Consent {
        let words = ["openid", "profile", "email", "orders:read", "offline_access"];
        Consent {
            frame: self.frame(),
            form: self.form("/consent"),
            app: self.app(),
            redirect_host: self.text("notes.example.com"),
            on_this_device: false,
            scopes: words.iter().map(|word| self.scope(word)).collect(),
            lasts: AccessLife::Offline { seconds: 90 * 86_400 },
            person: self.person(),
        }
    }

    fn consent_on_device(&self) -> Consent {
        let nothing = AskingApp {
            publisher_verified: false,
            site: None,
            policy_url: None,
            terms_url: None,
            ..self.app()
        };
        Consent {
            app: nothing,
            scopes: vec![self.scope("openid")],
            redirect_host: self.text("com.example.notes"),
            on_this_device: true,
            lasts: AccessLife::Session,
            ..self.consent()
        }
    }

    fn refused(&self, reason: RefusedReason) -> Refused {
        Refused {
            frame: self.frame(),
            reason,
            code: "invalid_request",
            detail: Some(self.text("redirect_uri is not one of the registered ones")),
            request_id: self.text("0199f3c2-7d1e-7c44-9d0e-3b8f6a1c2d4e"),
            sign_out: matches!(reason, RefusedReason::BadSignOut | RefusedReason::BadSignOutHint),
        }
    }

    fn set_up(&self, problems: Problems) -> SetUp {
        SetUp {
            frame: self.frame(),
            form: self.form("/set-up"),
            link: self.text("bGluaw"),
            email: self.text("ada@example.com"),
            username: self.text("ada"),
            name: self.text("Ada Lovelace"),
            min_length: 15,
            problems,
        }
    }

    pub(super) fn problems(&self) -> Problems {
        let problem = |field, sample| FieldProblem { field, problem: self.text(sample).into() };
        Problems(vec![
            problem("username", "This user name is taken. Choose another."),
            problem(
                "password",
                "This password is easy to guess. Use at least 15 characters, and words that do not belong together.",
            ),
        ])
    }

    /// Every page, each in the states that look different, with a name for its file.
    fn all(&self) -> Vec<(String, String)> {
        let mut pages = Vec::new();
        let mut add = |name: &str, page: &dyn askama::DynTemplate| {
            pages.push((name.to_owned(), page.dyn_render().unwrap()));
        };
        add("sign_in", &self.sign_in());
        add(
            "sign_in_plain",
            &SignIn {
                app: None,
                passkey: None,
                notice: Some("Your password is set. Sign in with it."),
                ..self.sign_in()
            },
        );
        add(
            "sign_in_again",
            &SignIn { again: Some(self.person()), username: self.text("ada@example.com"), ..self.sign_in() },
        );
        for (name, problem) in [
            ("sign_in_wrong", SignInProblem::Wrong),
            ("sign_in_wrong_passkey", SignInProblem::WrongPasskey),
            ("sign_in_missing", SignInProblem::Missing),
            ("sign_in_throttled", SignInProblem::Throttled { retry_after: 300 }),
            ("sign_in_busy", SignInProblem::Busy { retry_after: 3 }),
        ] {
            add(name, &SignIn { username: self.text("ada"), problem: Some(problem), ..self.sign_in() });
        }
        add(
            "select_account",
            &SelectAccount {
                frame: self.frame(),
                form: self.form("/select-account"),
                app: Some(self.app()),
                person: self.person(),
            },
        );
        add("consent", &self.consent());
        add("consent_unverified", &self.consent_on_device());
        for reason in REASONS {
            let name = format!("refused_{reason:?}").split(' ').next().unwrap().to_lowercase();
            add(&name, &self.refused(reason));
        }
        add(
            "form_post",
            &FormPost {
                frame: self.frame(),
                action: self.text("https://notes.example.com/callback?a=1&b=2"),
                fields: vec![("code", self.text("cnx_ac_x")), ("state", self.text("a b+c/d="))],
                app_name: self.text("Field Notes"),
            },
        );
        let sign_out = SignOut {
            frame: self.frame(),
            form: self.form("/sign-out"),
            person: self.person(),
            app_name: None,
        };
        add("sign_out", &sign_out);
        add("sign_out_app", &SignOut { app_name: Some(self.text("Field Notes")), ..sign_out });
        add("signed_out", &SignedOut { frame: self.frame() });
        add("set_up", &self.set_up(Problems::default()));
        add("set_up_problems", &self.set_up(self.problems()));
        let set_password = |problems| SetPassword {
            frame: self.frame(),
            form: self.form("/set-password"),
            link: self.text("bGluaw"),
            username: self.text("ada"),
            min_length: 15,
            problems,
        };
        add("set_password", &set_password(Problems::default()));
        add("set_password_problems", &set_password(Problems(self.problems().0.split_off(1))));
        let button = ProviderButton { id: "example".to_owned(), name: self.text("Example Inc.") };
        for (name, failure) in [
            ("sign_in_away", Failure::Away),
            ("sign_in_wrong_answer", Failure::Wrong),
            ("sign_in_denied", Failure::Denied),
            ("sign_in_unknown", Failure::Unknown),
            ("sign_in_taken", Failure::Taken),
        ] {
            let (providers, problem) = (vec![button.clone()], Some(SignInProblem::Provider(failure)));
            add(name, &SignIn { providers, problem, ..self.sign_in() });
        }
        let away = Away {
            frame: self.frame(),
            name: self.text("Example Inc."),
            url: format!("https://accounts.example.com/authorize?login_hint={}", self.text("ada")),
        };
        add("away", &away);
        add("sign_in_mail", &SignIn { mail: true, ..self.sign_in() });
        self.add_passkeys(&mut add);
        self.add_account(&mut add);
        self.add_keys(&mut add);
        for (name, page) in self.desks() {
            add(name, &page);
        }
        pages
    }
}

const REASONS: [RefusedReason; 18] = [
    RefusedReason::NoClient,
    RefusedReason::NoRedirectUri,
    RefusedReason::SetUpSpent,
    RefusedReason::BadSignOutHint,
    RefusedReason::UnknownClient,
    RefusedReason::BadRedirectUri,
    RefusedReason::BadRequest,
    RefusedReason::ExpiredRequest,
    RefusedReason::ForgedForm,
    RefusedReason::LinkSpent,
    RefusedReason::BadSignOut,
    RefusedReason::NotAllowed,
    RefusedReason::NotFound,
    RefusedReason::WrongMethod,
    RefusedReason::TooLarge,
    RefusedReason::TooOften { retry_after: 90 },
    RefusedReason::Unavailable,
    RefusedReason::Fault,
];

/// The samples with values as they usually are.
pub(super) fn as_people_meet_them() -> Vec<(String, String)> {
    in_lang(Lang::En)
}

/// The same in a language.
pub(super) fn in_lang(lang: Lang) -> Vec<(String, String)> {
    Samples { lang, value: &str::to_owned }.all()
}

/// The samples in a language with every value between [`MARKS`], so that what is left are our own words.
pub(super) fn marked(lang: Lang) -> Vec<(String, String)> {
    Samples { lang, value: &|value| format!("{}{value}{}", MARKS.0, MARKS.1) }.all()
}

/// What stands around a value in [`marked`]: of private use.
pub(super) const MARKS: (char, char) = ('\u{e000}', '\u{e001}');

/// The samples with [`HOSTILE`] for every value.
pub(super) fn hostile() -> Vec<(String, String)> {
    Samples { lang: Lang::En, value: &|_| HOSTILE.to_owned() }.all()
}
