//! Samples of the pages of one's own account, and of those behind links.

use std::borrow::Cow;

use super::samples::Samples;
use crate::account::role::Role;
use crate::base::time::Timestamp;
use crate::web::pages::{
    Activity, AddTotp, AppLine, Apps, ChangeEmail, ChangePassword, Confirm, DevMail, EventLine, FieldProblem,
    ForgotPassword, IdentityLine, Lang, MailLine, MailShown, Problems, Profile, ProviderButton,
    RecoveryCodes, SecondFactor, Security, SessionLine, Sessions, SignInProblem, VerifyEmail, When,
};

const AT: Moment = Moment(1_800_000_000);

/// A moment some minutes after another.
struct Moment(i64);

impl Moment {
    fn plus(&self, seconds: i64) -> When {
        When::at(Timestamp::from_secs(self.0 + seconds))
    }
}

impl Samples<'_> {
    fn problem(&self, field: &'static str, sample: &str) -> Problems {
        Problems(vec![FieldProblem { field, problem: self.text(sample).into() }])
    }

    /// Every page of the account, each in the states that look different.
    pub(super) fn add_account(&self, add: &mut dyn FnMut(&str, &dyn askama::DynTemplate)) {
        self.add_profile(add);
        self.add_lists(add);
        self.add_links(add);
        self.add_confirm(add);
    }

    fn add_factors(&self, add: &mut dyn FnMut(&str, &dyn askama::DynTemplate)) {
        let second = |problem| SecondFactor {
            frame: self.frame(),
            form: self.form("/sign-in/second-factor"),
            half: self.text("aGFsZg"),
            next: String::new(),
            code: problem != Some(SignInProblem::WrongPasskey),
            passkey: (problem != Some(SignInProblem::WrongCode)).then(|| self.passkey_ask()),
            problem,
        };
        add("second_factor", &second(None));
        add("second_factor_passkey", &second(Some(SignInProblem::WrongPasskey)));
        add("second_factor_wrong", &second(Some(SignInProblem::WrongCode)));
        let security = Security {
            seat: self.seat(Role::Member, "/account/security"),
            totp_since: None,
            codes_left: 0,
            off: false,
            required: false,
            identities: Vec::new(),
            providers: Vec::new(),
            problems: Problems::default(),
        };
        add("security", &security);
        add("security_off", &Security { off: true, ..security.clone() });
        let identity = IdentityLine {
            issuer: self.text("https://accounts.example.com"),
            subject: self.text("248289761001"),
            name: self.text("Example Inc."),
            email: Some(self.text("ada@example.com")),
            works: true,
            added: AT.plus(0),
            used: Some(AT.plus(60)),
        };
        let off = IdentityLine { email: None, works: false, used: None, ..identity.clone() };
        let providers = vec![ProviderButton { id: "other".to_owned(), name: self.text("Other Ltd.") }];
        let problems = self.problem("identity", "No.");
        let elsewhere = Security { identities: vec![identity, off], providers, problems, ..security.clone() };
        add("security_elsewhere", &elsewhere);
        let on = Security { totp_since: Some(AT.plus(0)), codes_left: 9, ..security };
        add("security_on", &on);
        add("security_required", &Security { required: true, problems: self.problem("totp", "No."), ..on });
        let app = AddTotp {
            seat: self.seat(Role::Member, "/account/security"),
            draft: self.text("ZHJhZnQ"),
            picture: crate::account::totp::picture("otpauth://totp/CloudNexus:ada?secret=GEZDGNBVGY3TQOJQ"),
            secret: self.text("GEZD GNBV GY3T QOJQ"),
            problems: Problems::default(),
        };
        add("add_totp", &app);
        add("add_totp_wrong", &AddTotp { problems: self.problem("code", "No."), ..app });
        let codes = (0..10).map(|_| self.text("04HM-ASW9-NF6Y-Y07Z")).collect();
        add("recovery_codes", &RecoveryCodes { seat: self.seat(Role::Member, "/account/security"), codes });
    }

    fn add_confirm(&self, add: &mut dyn FnMut(&str, &dyn askama::DynTemplate)) {
        let confirm = |problem: Option<SignInProblem>| Confirm {
            seat: self.seat(Role::Owner, ""),
            action: "/console/keys/new".to_owned(),
            fields: vec![
                ("name".to_owned(), self.text("Deploy")),
                ("environment".to_owned(), self.text("prod")),
            ],
            password: problem != Some(SignInProblem::WrongPasskey),
            code: problem.is_some(),
            passkey: problem.is_some().then(|| self.passkey_ask()),
            elsewhere: None,
            problem,
        };
        add("confirm", &confirm(None));
        let elsewhere = Some("/sign-in?next=/console/keys/new".to_owned());
        add("confirm_elsewhere", &Confirm { password: false, elsewhere: elsewhere.clone(), ..confirm(None) });
        add("confirm_either", &Confirm { elsewhere, ..confirm(None) });
        add("confirm_passkey", &confirm(Some(SignInProblem::WrongPasskey)));
        add("confirm_wrong", &confirm(Some(SignInProblem::Wrong)));
        self.add_factors(add);
    }

    fn add_profile(&self, add: &mut dyn FnMut(&str, &dyn askama::DynTemplate)) {
        let profile = Profile {
            seat: self.seat(Role::Owner, "/account"),
            username: self.text("ada"),
            name: self.text("Ada Lovelace"),
            locale: Lang::En,
            email: Some(self.text("ada@example.com")),
            email_verified: true,
            waiting: None,
            mail: true,
            problems: Problems::default(),
        };
        add("account", &profile);
        let mut seat = self.seat(Role::Member, "/account");
        seat.notice = Some(Cow::Borrowed("Your account is ready."));
        add("account_new", &Profile { seat, email: None, mail: false, ..profile.clone() });
        let waiting = Some(self.text("ada@elsewhere.example"));
        add("account_waiting", &Profile { email_verified: false, waiting, ..profile.clone() });
        let problems = self.problem("name", "at most 200 characters are allowed");
        add("account_problems", &Profile { problems, ..profile });

        let email = ChangeEmail {
            seat: self.seat(Role::Member, "/account"),
            present: Some(self.text("ada@example.com")),
            email: String::new(),
            mail: true,
            problems: Problems::default(),
        };
        add("account_email", &email);
        let problems = self.problem("email", "an address such as ada@example.com is needed");
        add("account_email_problems", &ChangeEmail { email: self.text("ada@"), problems, ..email.clone() });
        add("account_email_off", &ChangeEmail { present: None, mail: false, ..email });

        let password = ChangePassword {
            seat: self.seat(Role::Member, "/account/password"),
            username: self.text("ada"),
            has_password: true,
            min_length: 15,
            problems: Problems::default(),
        };
        add("account_password", &password);
        add("account_password_first", &ChangePassword { has_password: false, ..password.clone() });
        let problems = self.problem("current_password", "this is not your present password");
        add("account_password_wrong", &ChangePassword { problems, ..password.clone() });
        let problems = self.problem("password", "at least 15 characters are needed");
        add("account_password_short", &ChangePassword { problems, ..password });
    }

    fn add_lists(&self, add: &mut dyn FnMut(&str, &dyn askama::DynTemplate)) {
        let session = |is_this: bool| SessionLine {
            id: self.text("0199f3c2-7d1e-7c44-9d0e-3b8f6a1c2d4e"),
            browser: is_this.then(|| self.text("Firefox, Linux")),
            address: Some(self.text("203.0.113.7")),
            began: AT.plus(0),
            seen: AT.plus(600),
            is_this,
        };
        let sessions = Sessions {
            seat: self.seat(Role::Member, "/account/sessions"),
            sessions: vec![session(true), session(false)],
            others: true,
            next: Some(self.text("0199f3c2-7d1e-7c44-9d0e-3b8f6a1c2d4e")),
        };
        add("account_sessions", &sessions);
        add(
            "account_sessions_one",
            &Sessions { sessions: vec![session(true)], others: false, next: None, ..sessions },
        );
        let apps = Apps {
            seat: self.seat(Role::Member, "/account/apps"),
            apps: vec![
                AppLine {
                    id: self.text("app_1"),
                    name: self.text("Field Notes"),
                    scopes: ["openid", "email", "orders:read"].iter().map(|word| self.scope(word)).collect(),
                    since: AT.plus(0),
                    used: Some(AT.plus(60)),
                },
                AppLine {
                    id: self.text("app_2"),
                    name: self.text("Reports"),
                    scopes: Vec::new(),
                    since: AT.plus(0),
                    used: None,
                },
            ],
        };
        add("account_apps", &apps);
        add("account_apps_none", &Apps { apps: Vec::new(), ..apps });
        let event = |what: &'static str, subject| EventLine {
            at: AT.plus(0),
            what: Cow::Borrowed(what),
            subject,
            who: "You",
            address: Some(self.text("203.0.113.7")),
        };
        let activity = Activity {
            seat: self.seat(Role::Member, "/account/activity"),
            events: vec![
                event("Signed in", None),
                event("An app was allowed access", Some(self.text("Field Notes"))),
            ],
            next: Some(41),
        };
        add("account_activity", &activity);
        add("account_activity_none", &Activity { events: Vec::new(), next: None, ..activity });
    }

    fn add_links(&self, add: &mut dyn FnMut(&str, &dyn askama::DynTemplate)) {
        let forgot = ForgotPassword {
            frame: self.frame(),
            form: self.form("/forgot-password"),
            username: String::new(),
            mail: true,
            sent: false,
            problem: None,
        };
        add("forgot_password", &forgot);
        add("forgot_password_sent", &ForgotPassword { sent: true, ..forgot.clone() });
        add("forgot_password_off", &ForgotPassword { mail: false, ..forgot.clone() });
        let problem = Some("Enter your user name or your e-mail address.".to_owned());
        add("forgot_password_problem", &ForgotPassword { username: self.text(" "), problem, ..forgot });
        let verify = VerifyEmail {
            frame: self.frame(),
            form: self.form("/verify-email"),
            link: self.text("bGluaw"),
            email: self.text("ada@example.com"),
            done: false,
            problem: None,
        };
        add("verify_email", &verify);
        add("verify_email_done", &VerifyEmail { done: true, ..verify.clone() });
        add(
            "verify_email_problem",
            &VerifyEmail {
                problem: Some("Another account has this address. Sign in with it, or use another address."),
                ..verify
            },
        );
        let mail = MailShown {
            to: self.text("ada@example.com"),
            subject: self.text("A new password for id.example.com"),
            date: self.text("2026-11-26T07:40:00Z"),
            lines: vec![
                MailLine::Text(self.text("Hello,")),
                MailLine::Link(self.text("https://id.example.com/set-password?token=bGluaw")),
            ],
        };
        add("dev_mail", &DevMail { frame: self.frame(), mails: vec![mail] });
        add("dev_mail_none", &DevMail { frame: self.frame(), mails: Vec::new() });
    }
}
