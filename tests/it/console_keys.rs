//! The console's pages of API keys: who sees and makes which, a key that is shown once, what is done with it, and that no page gives one away.

use cnx::account::role::Role;
use cnx::api_key::permission::OURS;
use cnx::base::secret::Secret;
use cnx::flow::people::{self, NewPerson};
use cnx::store::{api_keys, audit};
use serde_json::json;

use crate::api_keys::{minted, token_with, verify};
use crate::world::{Browser, PASSWORD, Reply, World, by, on_both};

/// A person of that role, signed in.
pub async fn signed_in(world: &World, name: &str, role: Role) -> Browser {
    let person = NewPerson {
        email: None,
        username: Some(name.to_owned()),
        name: None,
        email_verified: false,
        role,
        claims: serde_json::Map::new(),
        password: Some(Secret::new(PASSWORD.to_owned())),
    };
    people::add(world.app(), by(), person).await.unwrap();
    let browser = world.browser();
    let page = browser.open("/account").await;
    let page = browser.sign_in(&page, name).await;
    assert_eq!(page.status, 200, "{}", page.text);
    browser
}

fn select(page: &Reply, selector: &str) -> Vec<String> {
    let html = scraper::Html::parse_document(&page.text);
    let selector = scraper::Selector::parse(selector).unwrap();
    html.select(&selector)
        .map(|found| found.attr("value").map_or_else(|| found.text().collect(), str::to_owned))
        .collect()
}

/// What a form of ours carries without being asked for.
fn hidden(page: &Reply, action: &str) -> Vec<(String, String)> {
    ["csrf_token", "sheet", "disabled"]
        .iter()
        .filter_map(|name| {
            let of_form = format!("form[action='{action}'] input[type=hidden][name={name}]");
            Some(((*name).to_owned(), select(page, &of_form).into_iter().next()?))
        })
        .collect()
}

/// Opens the page at `path` and sends its form to the same address.
pub async fn send(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Reply {
    let page = browser.get(path).await;
    assert_eq!(page.status, 200, "{path}: {}", page.text);
    browser.post(path, &filled(&page, path, fields)).await
}

fn filled(page: &Reply, action: &str, fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let typed = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    hidden(page, action).into_iter().chain(typed).collect()
}

const NEW: &str = "/console/keys/new";

fn usual<'a>(name: &'a str, scopes: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("name", name), ("environment", "prod"), ("scopes", scopes), ("expires", "90")]
}

/// Mints a key by the page; its id, and the key.
pub async fn mint(browser: &Browser, name: &str, scopes: &str) -> (String, String) {
    let page = send(browser, NEW, &usual(name, scopes)).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let key = select(&page, "#new-key").remove(0);
    let id = cnx::api_key::format::read(&key).unwrap().id.to_string();
    (id, key)
}

/// Whether a page holds anything that is a key.
fn holds_a_key(page: &Reply) -> bool {
    cnx::api_key::format::find(&page.text).next().is_some()
}

async fn code(world: &World, token: &str, key: &str) -> String {
    verify(world, token, json!({"key": key})).await["code"].as_str().unwrap().to_owned()
}

async fn how_many(world: &World) -> usize {
    world.app().store.read(api_keys::all).await.unwrap().len()
}

on_both! {
    async fn a_member_sees_and_changes_their_own_keys_alone(world: World) {
        let ada = signed_in(&world, "ada", Role::Owner).await;
        let bob = signed_in(&world, "bob", Role::Member).await;
        let (hers, _) = mint(&ada, "of ada", "instances:read").await;
        let (his, _) = mint(&bob, "of bob", "instances:read volumes:*").await;
        let (list_of_ada, list_of_bob) = (ada.get("/console/keys").await, bob.get("/console/keys?show=all").await);
        assert!(list_of_ada.text.contains("of ada") && list_of_ada.text.contains("of bob"));
        assert!(list_of_bob.text.contains("of bob") && !list_of_bob.text.contains("of ada"), "{}", list_of_bob.text);
        assert!(!list_of_bob.text.contains(&hers), "not among what is amiss either");
        for (id, status) in [(&hers, 404), (&his, 200)] {
            for below in ["", "/edit", "/rotate", "/revoke"] {
                let page = bob.get(&format!("/console/keys/{id}{below}")).await;
                assert_eq!(page.status, status, "{below}: {}", page.text);
            }
            assert_eq!(bob.get(&format!("/console/usage?of=key:{id}")).await.status, status);
        }
        assert_eq!(bob.get("/console/usage?of=keys").await.status, 404, "how busy others are is not theirs to know");
        let own = bob.get(&format!("/console/keys/{his}/revoke")).await;
        let form = filled(&own, &format!("/console/keys/{his}/revoke"), &[("overlap_seconds", "0"), ("name", "mine now"), ("disabled", "yes")]);
        for below in ["edit", "rotate", "revoke", "state"] {
            let answer = bob.post(&format!("/console/keys/{hers}/{below}"), &form).await;
            assert!(matches!(answer.status, 400 | 404), "{below}: {}", answer.text);
        }
        let kept = cnx::flow::keys::find(world.app(), &hers).await.unwrap();
        assert!(kept.revoked_at.is_none() && kept.disabled_at.is_none() && kept.name == "of ada" && kept.secrets.len() == 1);
        let done = send(&ada, &format!("/console/keys/{his}/revoke"), &[("reason", "left")]).await;
        assert_eq!(done.status, 303, "an administrator ends any key");
        assert!(bob.get(&format!("/console/keys/{his}")).await.text.contains("left"));
    }

    async fn a_member_gives_scopes_of_apis_and_an_administrator_any(world: World) {
        let ada = signed_in(&world, "ada", Role::Owner).await;
        let bob = signed_in(&world, "bob", Role::Member).await;
        let ours = OURS.iter().map(|resource| format!("instances:read {resource}:read"));
        for scopes in ours.chain(["*", "*:*", "*:read", "instances:read *:write"].map(str::to_owned)) {
            let refused = send(&bob, NEW, &usual("mine", &scopes)).await;
            assert_eq!(refused.status, 400, "{scopes}: {}", refused.text);
            assert!(refused.text.contains("scopes-problem") && refused.text.contains("scopes of APIs are allowed"), "{}", refused.text);
            assert_eq!(select(&refused, "#scopes"), [scopes], "what was typed is kept");
            assert_eq!(select(&refused, "#name"), ["mine"]);
        }
        assert_eq!(how_many(&world).await, 0);
        mint(&bob, "mine", "instances:* volumes:read").await;
        mint(&ada, "everything", "* keys:read").await;
    }

    async fn a_key_is_minted_once_and_shown_once_by_the_page(world: World) {
        let ada = signed_in(&world, "ada", Role::Owner).await;
        let token = token_with(&world, "keys:verify").await;
        let form = ada.get(NEW).await;
        let fields = filled(&form, NEW, &[("name", "deploy"), ("environment", "ci"), ("scopes", "instances:read, volumes:read"),
            ("description", "for the pipeline"), ("expires", "at"), ("expires_at", "2030-01-01T00:00"), ("allow_ips", "203.0.113.0/24\r\n2001:db8::7"), ("limit_read", "10")]);
        let shown = ada.post(NEW, &fields).await;
        assert_eq!((shown.status, shown.header("cache-control")), (200, Some("no-store")), "{}", shown.text);
        let key = select(&shown, "#new-key").remove(0);
        assert!(shown.text.contains(&format!("export CNX_API_KEY={key}")), "{}", shown.text);
        let id = cnx::api_key::format::read(&key).unwrap().id.to_string();
        // A reload sends the form again; so does whoever goes back to it.
        for _ in 0..2 {
            let again = ada.post(NEW, &fields).await;
            assert_eq!((again.status, again.location().as_deref()), (303, Some("/console/keys?done=once")), "{}", again.text);
        }
        assert_eq!(how_many(&world).await, 1);
        for path in ["/console/keys?done=once".to_owned(), format!("/console/keys/{id}"), format!("/console/keys/{id}/rotate")] {
            let page = ada.get(&path).await;
            assert!(page.status == 200 && !holds_a_key(&page) && !page.text.contains(&key[19..40]), "{path}");
            assert!(page.text.contains("deploy"), "{path}: {}", page.text);
        }
        let answer = verify(&world, &token, json!({"key": key, "ip": "203.0.113.7", "method": "GET"})).await;
        assert_eq!((answer["code"].as_str(), answer["ratelimit"]["limit"].as_u64()), (Some("VALID"), Some(10)), "{answer}");
        assert_eq!(answer["expires_at"], "2030-01-01T00:00:00Z");
        assert_eq!(verify(&world, &token, json!({"key": key, "ip": "203.0.114.7"})).await["code"], "IP_NOT_ALLOWED");
    }

    async fn everything_that_is_wrong_is_told_at_its_field_and_nothing_typed_is_lost(world: World) {
        let ada = signed_in(&world, "ada", Role::Owner).await;
        let wrong = [("name", "a name"), ("environment", "Prod!"), ("scopes", "instances"), ("expires", "at"), ("expires_at", "soon"),
            ("not_before", "later"), ("allow_ips", "host.example"), ("deny_ips", "203.0.113.0/99"), ("limit_write", "many")];
        let page = send(&ada, NEW, &wrong).await;
        assert_eq!(page.status, 400, "{}", page.text);
        for field in ["environment", "scopes", "expires_at", "not_before", "allow_ips", "deny_ips", "limits"] {
            assert_eq!(select(&page, &format!("#{field}-problem")).len(), 1, "{field}: {}", page.text);
        }
        for (field, typed) in wrong.iter().filter(|(field, _)| *field != "expires") {
            assert_eq!(select(&page, &format!("#{field}")), [*typed], "{field}");
        }
        for (field, value, at) in [("limit_read", "99999", "limits"), ("name", &"x".repeat(101)[..], "name"), ("scopes", "", "scopes")] {
            let mut fields = usual("fine", "instances:read");
            fields.retain(|(name, _)| *name != field);
            fields.push((field, value));
            let page = send(&ada, NEW, &fields).await;
            assert_eq!((page.status, select(&page, &format!("#{at}-problem")).len()), (400, 1), "{field}: {}", page.text);
        }
        assert_eq!(how_many(&world).await, 0);
    }

    async fn a_key_is_rotated_disabled_changed_and_revoked_by_its_pages(world: World) {
        let ada = signed_in(&world, "ada", Role::Owner).await;
        let token = token_with(&world, "keys:verify").await;
        let (id, first) = mint(&ada, "deploy", "instances:read").await;
        let (page, rotate) = (format!("/console/keys/{id}"), format!("/console/keys/{id}/rotate"));
        let form = ada.get(&rotate).await;
        let fields = filled(&form, &rotate, &[("overlap_seconds", "3600")]);
        let shown = ada.post(&rotate, &fields).await;
        let second = select(&shown, "#new-key").remove(0);
        assert!(second != first && shown.text.contains("The secret before works until"), "{}", shown.text);
        assert_eq!(ada.post(&rotate, &fields).await.location(), Some(format!("{page}?done=once")), "not a second time");
        assert_eq!((code(&world, &token, &first).await, code(&world, &token, &second).await), ("VALID".to_owned(), "VALID".to_owned()));
        let promised = send(&ada, &rotate, &[("overlap_seconds", "3600")]).await;
        assert_eq!((promised.status, select(&promised, "#overlap_seconds-problem").len()), (400, 1), "{}", promised.text);
        let shown = send(&ada, &rotate, &[("overlap_seconds", "0")]).await;
        let third = select(&shown, "#new-key").remove(0);
        assert_eq!((code(&world, &token, &second).await, code(&world, &token, &third).await), ("NOT_FOUND".to_owned(), "VALID".to_owned()));

        let state = format!("{page}/state");
        for (word, wanted) in [("disabled", "DISABLED"), ("enabled", "VALID")] {
            let fields = filled(&ada.get(&page).await, &state, &[]);
            assert_eq!(ada.post(&state, &fields).await.location(), Some(format!("{page}?done={word}")));
            assert_eq!(code(&world, &token, &third).await, wanted);
        }

        let edit = format!("{page}/edit");
        let fields = [("name", "deploy 2"), ("description", ""), ("allow_ips", "203.0.113.7"), ("deny_ips", ""), ("limit_delete", "3")];
        assert_eq!(send(&ada, &edit, &fields).await.location(), Some(format!("{page}?done=changed")));
        assert_eq!(code(&world, &token, &third).await, "IP_NOT_ALLOWED", "in force at once");
        let shown = ada.get(&edit).await;
        assert_eq!((select(&shown, "#name"), select(&shown, "#limit_delete")), (vec!["deploy 2".to_owned()], vec!["3".to_owned()]));
        assert!(shown.text.contains("203.0.113.7/32"), "{}", shown.text);
        let bad = send(&ada, &edit, &[("name", "deploy 2"), ("allow_ips", "nowhere")]).await;
        assert_eq!((bad.status, select(&bad, "#allow_ips-problem").len()), (400, 1), "{}", bad.text);

        let done = send(&ada, &format!("{page}/revoke"), &[("reason", "no longer needed")]).await;
        assert_eq!(done.location(), Some(format!("{page}?done=revoked")));
        assert_eq!(code(&world, &token, &third).await, "REVOKED");
        let shown = ada.get(&page).await;
        assert!(shown.text.contains("no longer needed") && select(&shown, "#key-rotate").is_empty(), "{}", shown.text);
        for below in ["edit", "rotate", "revoke"] {
            assert_eq!(ada.get(&format!("{page}/{below}")).await.location(), Some(page.clone()), "{below}");
        }
        let entries = world.app().store.read(|conn| audit::page(conn, &audit::Filter::default(), audit::From::Newest, 100)).await;
        let acts: Vec<String> = entries.unwrap().into_iter().map(|event| event.entry.act).collect();
        for act in ["key.minted", "key.rotated", "key.disabled", "key.enabled", "key.changed", "key.revoked"] {
            assert!(acts.iter().any(|known| known == act), "{act}: {acts:?}");
        }
    }

    async fn the_console_asks_anew_who_it_is_and_never_shows_a_live_key_s_k12(world: World) {
        let ada = signed_in(&world, "ada", Role::Owner).await;
        let (id, key) = mint(&ada, "deploy", "instances:read").await;
        let page = format!("/console/keys/{id}");
        // Examples are the very files that are tested, with this server's address and what is public of the key.
        let list = ada.get("/console/keys").await;
        let masked = format!("cnx_prod_{id}••••{}", &key[key.len() - 4..]);
        let examples = select(&list, "pre.tab-panel");
        for (shown, file) in examples.iter().zip(["curl.sh", "python.py", "node.mjs"]) {
            let file = std::fs::read_to_string(format!("{}/examples/clients/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
            assert!(shown.contains(&masked) && shown.contains(&world.base), "{shown}");
            let back = shown.replace(&masked, "cnx_prod_…").replace(&world.base, "https://api.example.com");
            assert_eq!(back.trim_end(), file.trim_end());
        }
        assert_eq!(examples.len(), 3);
        // No page keeps itself, and none but the answer to a form holds a key.
        for path in ["/console/keys", NEW, &page, &format!("{page}/edit"), &format!("{page}/rotate"), &format!("{page}/revoke"), "/console/usage"] {
            let shown = ada.get(path).await;
            assert_eq!((shown.status, shown.header("cache-control")), (200, Some("no-store")), "{path}");
            assert!(!holds_a_key(&shown) && !shown.text.contains(&key[19..40]), "{path}");
            assert!(!shown.header("content-security-policy").unwrap().contains("unsafe"), "{path}");
        }
        // Forms of other sites are not taken.
        for (path, field) in [(NEW.to_owned(), ("name", "x")), (format!("{page}/rotate"), ("overlap_seconds", "0")), (format!("{page}/revoke"), ("reason", "")),
            (format!("{page}/edit"), ("name", "x")), (format!("{page}/state"), ("disabled", "yes"))] {
            let form = [(field.0.to_owned(), field.1.to_owned()), ("csrf_token".to_owned(), "forged".to_owned())];
            assert_eq!(ada.post(&path, &form).await.status, 403, "{path}");
            assert_eq!(world.browser().post(&path, &form).await.status, 303, "{path}: to the sign-in");
        }
        // Whoever proved long ago who they are does so anew before anything is done.
        let mut forms = Vec::new();
        for (path, field) in [(NEW.to_owned(), usual("later", "instances:read")), (format!("{page}/rotate"), vec![("overlap_seconds", "0")]), (format!("{page}/revoke"), vec![])] {
            forms.push((filled(&ada.get(&path).await, &path, &field), path));
        }
        world.advance(301);
        for (fields, path) in forms {
            let answer = ada.post(&path, &fields).await;
            assert!(select(&answer, "#new-key").is_empty(), "{path}: {}", answer.text);
        }
        assert_eq!(how_many(&world).await, 1);
        let kept = cnx::flow::keys::find(world.app(), &id).await.unwrap();
        assert!(kept.revoked_at.is_none() && kept.secrets.len() == 1);
        assert_eq!(code(&world, &token_with(&world, "keys:verify").await, &key).await, "VALID");
    }

    async fn the_list_is_searched_and_read_page_by_page_and_tells_what_is_amiss(world: World) {
        let ada = signed_in(&world, "ada", Role::Owner).await;
        for n in 0..55 {
            world.advance(1);
            minted(&world, |new| new.name = format!("key {n}")).await;
        }
        let (gone, _) = minted(&world, |new| new.name = "gone <b>".to_owned()).await;
        cnx::flow::keys::revoke(world.app(), by(), &gone, None).await.unwrap();
        minted(&world, |new| {
            (new.name, new.environment) = ("pipeline".to_owned(), "ci".parse().unwrap());
            new.scopes = cnx::api_key::permission::Permissions::parse(["instances:*"].into_iter()).unwrap();
        })
        .await;
        let first = ada.get("/console/keys").await;
        let rows = |page: &Reply| select(page, "th.key-name a");
        assert_eq!(rows(&first).len(), 50);
        assert!(!rows(&first).contains(&"gone <b>".to_owned()), "ended ones are not among them");
        let next = scraper::Html::parse_document(&first.text);
        let next = next.select(&scraper::Selector::parse("a[rel=next]").unwrap()).next().unwrap().attr("href").unwrap().to_owned();
        let second = ada.get(&next).await;
        assert_eq!(rows(&second), ["key 5", "key 4", "key 3", "key 2", "key 1", "key 0"]);
        assert!(select(&second, "a[rel=next]").is_empty());
        assert_eq!(rows(&ada.get("/console/keys?search=KEY+54").await), ["key 54"]);
        assert_eq!(rows(&ada.get("/console/keys?search=ci").await), ["pipeline"]);
        assert_eq!(rows(&ada.get("/console/keys?search=gone&show=all").await), ["gone <b>"]);
        assert!(ada.get("/console/keys?search=nothing").await.text.contains("No key is like that"));
        // What is amiss is told with a link to where it is mended.
        assert!(first.text.contains("/edit\"><span>Set networks"), "{}", first.text);
        assert!(first.text.contains("/revoke\"><span>Revoke"), "a pipeline's wildcard: {}", first.text);
        assert!(!first.text.contains("/rotate\"><span>Rotate"));
        world.advance(91 * 86_400);
        let later = signed_in(&world, "eve", Role::Admin).await.get("/console/keys").await;
        assert!(later.text.contains("/rotate\"><span>Rotate") && later.text.contains("<strong>56</strong>"), "{}", later.text);
    }
}
