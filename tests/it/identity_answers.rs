//! Sign-in through another provider (S-L15): every answer that is not quite right.

use serde_json::json;

use crate::identity_provider_stub::{Asked, CODE, US, add, back, is_nobody, on_each};
use crate::page_table::signed_in;
use crate::world::Signer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_that_is_not_quite_right_signs_nobody_in_s_l15() {
    on_each(async |world, provider| {
        provider.add(&world, false).await;
        world.add_user("ada").await;
        let ada = signed_in(&world, "ada").await;
        add(&world, &provider, &ada, "7").await;
        let now = world.now();
        for changes in [
            json!({"iss": "https://elsewhere.example"}),
            json!({"iss": null}),
            json!({"aud": "somebody-else"}),
            json!({"aud": [US, "somebody-else"]}),
            json!({"azp": "somebody-else"}),
            json!({"exp": now - 61}),
            json!({"exp": null}),
            json!({"iat": now - 601}),
            json!({"iat": now + 61}),
            json!({"nonce": "another"}),
            json!({"nonce": null}),
            json!({"sub": ""}),
            json!({"sub": null}),
        ] {
            let browser = world.browser();
            let asked = Asked::new(&browser).await;
            provider.will_say(&world, &asked, "7", &changes);
            let reply = asked.back(CODE).await;
            assert_eq!((reply.status, is_nobody(&browser)), (403, true), "{changes}: {}", reply.text);
            world.advance(120);
        }
        let browser = world.browser();
        let try_with = async |params: &[(&str, &str)]| {
            world.advance(3_600);
            let asked = Asked::new(&browser).await;
            provider.will_say(&world, &asked, "7", &json!({}));
            let reply = asked.back(params).await;
            assert!(is_nobody(&browser), "{params:?}");
            (reply.status, asked)
        };
        // Another key's signature, under the right name.
        let asked = Asked::new(&browser).await;
        provider.will_sign(&Signer::es256(), &world, &asked, "7", &json!({}));
        assert_eq!((asked.back(CODE).await.status, is_nobody(&browser)), (403, true));
        assert_eq!(try_with(&[("error", "access_denied"), ("code", "c")]).await.0, 403);
        assert_eq!(try_with(&[]).await.0, 403);
        assert_eq!(try_with(&[("code", "c"), ("iss", "https://elsewhere.example")]).await.0, 403);
        // Where its metadata says that its answers name it, they must (RFC 9207 §2.4).
        provider.says.lock().unwrap().metadata["authorization_response_iss_parameter_supported"] =
            json!(true);
        assert_eq!(try_with(CODE).await.0, 403);
        provider
            .says
            .lock()
            .unwrap()
            .metadata
            .as_object_mut()
            .unwrap()
            .remove("authorization_response_iss_parameter_supported");
        // Another browser, no browser of ours, no state, another's state, and one that took too long.
        let (_, asked) = try_with(&[]).await;
        for other in [world.browser(), ada.clone()] {
            let session = other.cookie("cnx_session");
            let reply = back(&other, &asked.get("state").unwrap(), CODE).await;
            assert_eq!((reply.status, other.cookie("cnx_session")), (403, session), "{}", reply.text);
        }
        world.advance(3_600);
        for state in ["", "x", &asked.get("state").unwrap()] {
            assert_eq!(
                (back(&browser, state, CODE).await.status, is_nobody(&browser)),
                (403, true),
                "{state}"
            );
        }
        world.advance(3_600);
        let asked = Asked::new(&browser).await;
        provider.will_say(&world, &asked, "7", &json!({}));
        world.advance(601);
        provider.will_say(&world, &asked, "7", &json!({}));
        assert_eq!((asked.back(CODE).await.status, is_nobody(&browser)), (403, true));
        // A provider that does not take the code, is broken, or says no JSON, or no ID token.
        for (token, status) in [
            ((400, "{\"error\":\"invalid_grant\"}"), 403),
            ((500, "{}"), 502),
            ((302, ""), 502),
            ((200, "<html>"), 502),
            ((200, "{}"), 502),
        ] {
            world.advance(3_600);
            let asked = Asked::new(&browser).await;
            provider.says.lock().unwrap().token = (token.0, token.1.to_owned());
            let reply = asked.back(CODE).await;
            assert_eq!((reply.status, is_nobody(&browser)), (status, true), "{token:?}: {}", reply.text);
        }
        // The right answer, once.
        let asked = Asked::new(&browser).await;
        provider.will_say(&world, &asked, "7", &json!({}));
        assert_eq!(asked.back(CODE).await.location().as_deref(), Some("/account"));
        let again = world.browser();
        *again.cookies.lock().unwrap() = browser.cookies.lock().unwrap().clone();
        again.cookies.lock().unwrap().remove("cnx_session");
        let asked = Asked { browser: again, ..asked };
        assert_eq!((asked.back(CODE).await.status, is_nobody(&asked.browser)), (403, true));
    })
    .await;
}
