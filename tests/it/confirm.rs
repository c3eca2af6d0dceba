//! Somebody proves again who they are before something dangerous, and nothing that they typed is lost; and the way back to a page that was
//! asked for before the sign-in.

use cnx::account::role::Role;

use crate::console_keys::{send, signed_in};
use crate::world::{PASSWORD, Reply, on_both};

const NEW: &str = "/console/keys/new";
const TYPED: [(&str, &str); 4] =
    [("name", "Deploy <b>"), ("environment", "prod"), ("scopes", "instances:read"), ("expires", "90")];

/// The hidden inputs of the page that asks for a proof, with a password.
fn proof(page: &Reply, password: &str) -> Vec<(String, String)> {
    let html = scraper::Html::parse_document(&page.text);
    let inputs = scraper::Selector::parse("form[action='/console/keys/new'] input[type=hidden]").unwrap();
    let kept = html.select(&inputs).filter_map(|input| {
        Some((input.attr("name")?.to_owned(), input.attr("value").unwrap_or_default().to_owned()))
    });
    kept.chain([("confirm_password".to_owned(), password.to_owned())]).collect()
}

on_both! {
    /// S-L12, S-L9: after five minutes a key is not minted without a proof; what was typed stays; the cookie of before is dead.
    async fn who_signed_in_long_ago_confirms_that_it_is_them_and_loses_nothing_s_l12(world: World) {
        let owner = signed_in(&world, "root", Role::Owner).await;
        let old = owner.cookie("cnx_session").unwrap();
        world.advance(301);
        let asked = send(&owner, NEW, &TYPED).await;
        assert!(asked.status == 200 && asked.text.contains("id=\"confirm-submit\""), "{}", asked.text);
        let wrong = owner.post(NEW, &proof(&asked, "not the password")).await;
        assert!(wrong.status == 422 && wrong.text.contains("id=\"confirm-submit\""), "{} {}", wrong.status, wrong.text);
        assert_eq!(owner.cookie("cnx_session").unwrap(), old);
        let done = owner.post(NEW, &proof(&wrong, PASSWORD)).await;
        assert!(done.status == 200 && done.text.contains("id=\"new-key\""), "{} {}", done.status, done.text);
        assert!(done.text.contains("Deploy &#60;b&#62;") || done.text.contains("Deploy &lt;b&gt;"), "{}", done.text);
        assert_ne!(owner.cookie("cnx_session").unwrap(), old);
        // The proof counts for the next five minutes, under the new cookie alone.
        let again = send(&owner, NEW, &TYPED).await;
        assert!(again.text.contains("id=\"new-key\""), "{}", again.text);
        let thief = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let stolen = thief.get(format!("{}/console/keys", world.base)).header("cookie", format!("cnx_session={old}"));
        let turned_away = Reply::of(stolen.send().await.unwrap()).await;
        assert_eq!(turned_away.location().as_deref(), Some("/sign-in?next=%2Fconsole%2Fkeys"));
    }

    /// S-L6: proofs are throttled as sign-ins are.
    async fn wrong_proofs_are_throttled_s_l6(world: World) {
        let owner = signed_in(&world, "root", Role::Owner).await;
        world.advance(301);
        let mut page = send(&owner, NEW, &TYPED).await;
        let mut statuses = Vec::new();
        for _ in 0..12 {
            page = owner.post(NEW, &proof(&page, "not the password")).await;
            statuses.push(page.status);
        }
        assert_eq!((statuses.first(), statuses.last()), (Some(&422), Some(&429)), "{statuses:?}");
        let right = owner.post(NEW, &proof(&page, PASSWORD)).await;
        assert_eq!(right.status, 429, "not even the right one");
    }

    async fn who_asks_for_a_page_is_led_to_it_by_way_of_the_sign_in_and_never_elsewhere(world: World) {
        let owner = signed_in(&world, "root", Role::Owner).await;
        drop(owner);
        for (next, to) in [
            ("/console/audit?act=key.*", "/console/audit?act=key.*"),
            ("//evil.example", "/console/keys"),
            ("/console//evil.example", "/console/keys"),
            ("https://evil.example/console", "/console/keys"),
        ] {
            let browser = world.browser();
            let asked: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let page = browser.get(&format!("/sign-in?next={asked}")).await;
            let shown = scraper::Html::parse_document(&page.text);
            let value = |name: &str| {
                let input = scraper::Selector::parse(&format!("input[name={name}]")).unwrap();
                shown.select(&input).next().and_then(|i| i.attr("value")).unwrap_or_default().to_owned()
            };
            let form = [
                ("csrf_token", value("csrf_token")), ("request", String::new()), ("next", value("next")),
                ("username", "root".to_owned()), ("password", PASSWORD.to_owned()),
            ];
            let form = form.map(|(name, value)| (name.to_owned(), value));
            let answer = browser.post("/sign-in", &form).await;
            assert_eq!((answer.status, answer.location()), (303, Some(to.to_owned())), "{next}");
        }
    }
}
