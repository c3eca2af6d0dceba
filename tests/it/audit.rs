//! The audit log over HTTP and on the command line: who did what, from where; and that nobody changes it unnoticed.

use cnx::app::{App, Role};
use cnx::base::entropy::Entropy;
use cnx::flow::audit_log;
use cnx::flow::{clients, keys, people};
use cnx::jobs::{prune_audit, write_refusals};
use cnx::store::audit_chain::{Finding, Link, Report};
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use crate::api_keys::{call, minted, minted_by, problem, token_with};
use crate::process::Place;
use crate::world::{World, by, on_both};

/// The newest events that the query lets through, the newest first.
async fn events(world: &World, token: &str, query: &str) -> Vec<Value> {
    let reply = call(world, "GET", &format!("/v1/audit?{query}"), token, None).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["events"].as_array().unwrap().clone()
}

async fn look(world: &World, noted: Option<Link>) -> Report {
    audit_log::verify(world.app(), noted).await.unwrap()
}

async fn findings(world: &World) -> Vec<Finding> {
    look(world, None).await.findings
}

/// Does something to the database by hand.
async fn by_hand(world: &World, sql: &'static str) {
    let done = world.app().store.write(move |conn| Ok(conn.batch_execute(sql).is_ok())).await;
    assert!(done.unwrap(), "{sql}");
}

async fn facts(world: &World) -> Vec<(&'static str, String)> {
    let read = world.app().store.read(|conn| {
        let mut facts = Vec::new();
        for name in ["audit.head", "audit.tail"] {
            facts.extend(cnx::store::meta::find(conn, name)?.map(|text| (name, text)));
        }
        Ok(facts)
    });
    read.await.unwrap()
}

on_both! {
    async fn who_made_rotated_and_revoked_a_key_is_told_s_k10(world: World) {
        let token = token_with(&world, "keys:write keys:read audit:read instances:*").await;
        let body = json!({"name": "deploy", "environment": "prod", "scopes": ["instances:read"]});
        let made = call(&world, "POST", "/v1/keys", &token, Some(body)).await;
        let id = made.json()["key_id"].as_str().unwrap().to_owned();
        let subject = format!("key:{id}");
        call(&world, "POST", &format!("/v1/keys/{id}/rotate"), &token, None).await;
        let gone = call(&world, "DELETE", &format!("/v1/keys/{id}"), &token, Some(json!({"reason": "found, in a log"}))).await;
        call(&world, "DELETE", &format!("/v1/keys/{id}"), &token, None).await;
        let all = events(&world, &token, &format!("subject={subject}")).await;
        let acts: Vec<&str> = all.iter().map(|e| e["act"].as_str().unwrap()).collect();
        assert_eq!(acts, ["key.revoked", "key.rotated", "key.minted"], "to revoke what is revoked is no act");
        let newest = &all[0];
        assert_eq!(newest["reason"], "found, in a log");
        assert_eq!(newest["request_id"].as_str(), gone.header("x-request-id"));
        assert_eq!((&newest["address"], &newest["outcome"]), (&json!("127.0.0.1"), &json!("done")));
        assert!(newest["actor"].as_str().unwrap().starts_with("client:"), "{newest}");
        assert_eq!(all[1]["details"], json!({"overlap_seconds": 86_400}));
        assert_eq!(all[2]["details"]["scopes"], json!(["instances:read"]));
        let key = made.json()["key"].as_str().unwrap().to_owned();
        assert!(all.iter().all(|event| !event.to_string().contains(&key[19..])), "no secret");
        let found = events(&world, &token, &format!("request_id={}", gone.header("x-request-id").unwrap())).await;
        assert_eq!(found.len(), 1);
    }

    async fn every_change_of_an_administrator_leaves_an_event_s_k10(world: World) {
        let token = token_with(&world, "audit:read").await;
        let user = world.add_user("ada").await;
        people::set_disabled(world.app(), by(), user.id, true).await.unwrap();
        people::set_disabled(world.app(), by(), user.id, false).await.unwrap();
        let client = world.web_client().await;
        clients::rotate_secret(world.app(), by(), &client.id, 60).await.unwrap();
        clients::delete(world.app(), by(), &client.id).await.unwrap();
        let (id, _) = minted(&world, |_| {}).await;
        keys::set_disabled(world.app(), by(), &id, true).await.unwrap();
        let acts = async |query: &str| -> Vec<String> {
            let all = events(&world, &token, query).await;
            all.iter().map(|event| event["act"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(acts(&format!("subject=user:{}", user.id)).await, ["user.enabled", "user.disabled", "user.added"]);
        assert_eq!(acts(&format!("subject=client:{}", client.id)).await, ["client.deleted", "client.secret_rotated", "client.added"]);
        assert_eq!(acts("act=key.*").await, ["key.disabled", "key.minted"]);
        assert_eq!(acts("act=key.*&outcome=refused").await, [""; 0]);
        assert!(acts("actor=system").await.contains(&"signing_key.made".to_owned()));
        let of_the_tool = events(&world, &token, "actor=command_line:0&act=key.minted").await;
        assert_eq!((of_the_tool.len(), &of_the_tool[0]["address"]), (1, &Value::Null));
    }

    async fn a_sign_in_a_consent_and_a_sign_out_are_told_s_k10(world: World) {
        let token = token_with(&world, "audit:read").await;
        let client = world.web_client().await;
        let user = world.add_user("ada").await;
        let browser = world.browser();
        browser.tokens(&world, &client, &[], "ada").await;
        let all = events(&world, &token, &format!("actor=user:{}", user.id)).await;
        let acts: Vec<&str> = all.iter().map(|e| e["act"].as_str().unwrap()).collect();
        assert_eq!(acts, ["consent.given", "user.signed_in"]);
        assert_eq!(all[0]["subject"], format!("client:{}", client.id));
    }

    async fn refusals_that_are_alike_share_an_event(world: World) {
        let token = token_with(&world, "audit:read keys:verify").await;
        let (id, key) = minted(&world, |new| new.limits.delete = Some(2)).await;
        for _ in 0..5 {
            call(&world, "POST", "/v1/keys/verify", &token, Some(json!({"key": key, "method": "DELETE", "ip": "203.0.113.7"}))).await;
            call(&world, "POST", "/v1/keys/verify", &token, Some(json!({"key": "nothing", "ip": "203.0.113.8"}))).await;
        }
        let wrong = world.add_client(json!({"token_endpoint_auth_method": "client_secret_basic"})).await;
        let form = [("grant_type", "client_credentials"), ("client_id", wrong.id.as_str()), ("client_secret", "wrong")];
        world.http.post(world.url("/oauth2/token")).form(&form).send().await.unwrap();
        write_refusals::flush(world.app()).await;
        let all = events(&world, &token, "act=check.refused").await;
        let told: Vec<_> = all.iter().map(|e| (e["actor"].as_str().unwrap(), e["reason"].as_str().unwrap(), e["times"].as_i64().unwrap(), e["address"].as_str().unwrap())).collect();
        let key = format!("key:{id}");
        assert_eq!(told.len(), 2);
        assert!(told.contains(&(&key, "RATE_LIMITED", 3, "203.0.113.7")), "{told:?}");
        assert!(told.contains(&("anybody", "NOT_FOUND", 5, "203.0.113.8")), "{told:?}");
        let refused = events(&world, &token, "act=client.refused").await;
        assert_eq!((refused.len(), &refused[0]["subject"]), (1, &json!(format!("client:{}", wrong.id))));
        assert!(refused[0]["request_id"].is_string() && refused[0]["outcome"] == "refused");
        // From everywhere at once: the events are bounded, the count is whole.
        for n in 0..3_000_u32 {
            let from = std::net::IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n));
            let asked = cnx::flow::check::Asked { credential: "nothing", address: Some(from), ..Default::default() };
            cnx::flow::check::check(world.app(), &asked, world.clock.now()).await.unwrap();
        }
        let waiting = world.app().take_refusals(usize::MAX);
        assert!(waiting.len() <= 1_001, "{}", waiting.len());
        assert_eq!(waiting.iter().map(|(entry, _)| entry.times).sum::<i64>(), 3_000);
        // From one network: what others do beside it is told as ever.
        for n in 0..200_u32 {
            let from = format!("2001:db8::{n:x}");
            let note = |credential, from: &str| {
                let from = from.parse().unwrap();
                cnx::flow::check::Asked { credential, address: Some(from), ..Default::default() }
            };
            cnx::flow::check::check(world.app(), &note("nothing", &from), world.clock.now()).await.unwrap();
        }
        let waiting = world.app().take_refusals(usize::MAX);
        assert_eq!((waiting.len(), waiting[0].0.times), (1, 200), "a /64 is one place");
        assert!(findings(&world).await.is_empty());
    }

    async fn whatever_is_done_to_the_rows_is_found(world: World) {
        for _ in 0..6 {
            minted(&world, |_| {}).await;
        }
        let sound = look(&world, None).await;
        assert!(sound.findings.is_empty() && sound.events >= 7, "{sound:?}");
        let last = sound.head.seq;
        by_hand(&world, "CREATE TABLE audit_copy AS SELECT * FROM audit_events").await;
        let heads = facts(&world).await;
        let changes: [(&str, Vec<Finding>); 15] = [
            ("UPDATE audit_events SET act = 'key.revoked' WHERE seq = 4", vec![Finding::Changed(4)]),
            ("UPDATE audit_events SET actor = 'user:somebody' WHERE seq = 4", vec![Finding::Changed(4)]),
            ("UPDATE audit_events SET at = at + 1 WHERE seq = 4", vec![Finding::Changed(4)]),
            ("UPDATE audit_events SET reason = '' WHERE seq = 4", vec![Finding::Changed(4)]),
            ("UPDATE audit_events SET outcome = 'refused' WHERE seq = 4", vec![Finding::Changed(4)]),
            ("UPDATE audit_events SET outcome = 'whatever' WHERE seq = 4", vec![Finding::Changed(4), Finding::Changed(5)]),
            ("UPDATE audit_events SET times = 2 WHERE seq = 4", vec![Finding::Changed(4)]),
            ("UPDATE audit_events SET subject = NULL, reason = subject WHERE seq = 4", vec![Finding::Changed(4)]),
            ("DELETE FROM audit_events WHERE seq = 4", vec![Finding::Missing(4, 4)]),
            ("DELETE FROM audit_events WHERE seq <= 2", vec![Finding::Missing(1, 2)]),
            ("DELETE FROM audit_events WHERE seq >= 5", vec![Finding::Missing(5, last)]),
            // Two change places; the row behind each hangs on the wrong one too.
            (
                "UPDATE audit_events SET seq = -1 WHERE seq = 3; UPDATE audit_events SET seq = 3 WHERE seq = 4; UPDATE audit_events SET seq = 4 WHERE seq = -1",
                vec![Finding::Changed(3), Finding::Changed(4), Finding::Changed(5)],
            ),
            (
                "INSERT INTO audit_events SELECT seq + 1000, at, act, actor, subject, outcome, reason, address, request_id, details, times, mac FROM audit_copy WHERE seq = 4",
                vec![Finding::Foreign(last + 1, 1004)],
            ),
            ("DELETE FROM audit_events", vec![Finding::Missing(1, last)]),
            (
                "INSERT INTO audit_events SELECT 0 - seq, at, act, actor, subject, outcome, reason, address, request_id, details, times, mac FROM audit_copy WHERE seq = 4",
                vec![Finding::Foreign(-4, 0)],
            ),
        ];
        for (sql, expected) in changes {
            by_hand(&world, sql).await;
            assert_eq!(findings(&world).await, expected, "{sql}");
            by_hand(&world, "DELETE FROM audit_events").await;
            by_hand(&world, "INSERT INTO audit_events SELECT * FROM audit_copy").await;
            assert!(findings(&world).await.is_empty(), "put back after {sql}");
        }
        // The newest rows gone, and the record of the newest one set back with them: nobody without the master key can write it.
        by_hand(&world, "DELETE FROM audit_events WHERE seq >= 5").await;
        let (_, head) = &heads[0];
        let forged = head.replacen(&format!("{last}:"), "4:", 1);
        world.app().store.write(move |conn| cnx::store::meta::set(conn, "audit.head", &forged)).await.unwrap();
        assert_eq!(findings(&world).await, [Finding::End("newest event")]);
        // Whoever is noted elsewhere is missed even where the record is sound.
        by_hand(&world, "DELETE FROM audit_events").await;
        by_hand(&world, "INSERT INTO audit_events SELECT * FROM audit_copy").await;
        let sound_head = head.clone();
        world.app().store.write(move |conn| cnx::store::meta::set(conn, "audit.head", &sound_head)).await.unwrap();
        assert!(look(&world, Some(sound.head)).await.findings.is_empty());
        let other = Link { mac: [7; 32], ..sound.head };
        assert_eq!(look(&world, Some(other)).await.findings, [Finding::NotAsNoted(other)]);
        let later = Link { seq: last + 5, ..sound.head };
        assert_eq!(look(&world, Some(later)).await.findings, [Finding::NotAsNoted(later)]);
        // A node that finds it when it writes turns nobody away, and says so for ever.
        by_hand(&world, "DELETE FROM meta WHERE key = 'audit.head'").await;
        minted(&world, |_| {}).await;
        assert_eq!(findings(&world).await, [Finding::Broken(last + 1)]);
    }

    async fn a_log_that_was_emptied_does_not_begin_again_and_a_row_in_the_way_stops_nobody(world: World) {
        minted(&world, |_| {}).await;
        let before = look(&world, None).await.head;
        by_hand(&world, "INSERT INTO audit_events SELECT seq + 1, at, act, actor, subject, outcome, reason, address, request_id, details, times, mac FROM audit_events WHERE seq = (SELECT MAX(seq) FROM audit_events)").await;
        let (id, _) = minted(&world, |_| {}).await;
        keys::revoke(world.app(), by(), &id, None).await.unwrap();
        let next = before.seq + 1;
        assert_eq!(findings(&world).await, [Finding::Changed(next), Finding::Broken(next + 1)]);
        by_hand(&world, "DELETE FROM audit_events; DELETE FROM meta WHERE key LIKE 'audit.%'").await;
        let tool = App::open(world.settings.clone(), world.clock.clone(), Entropy::system(), Role::Tool).await.unwrap();
        assert_eq!(audit_log::verify(&tool, None).await.unwrap().findings, [Finding::End("newest event")]);
        minted_by(&tool, |_| {}).await;
        assert_eq!(audit_log::verify(&tool, None).await.unwrap().findings, [Finding::Broken(1)]);
        tool.store.close();
    }

    async fn what_is_not_as_it_was_written_is_not_removed_as_old(world: World) {
        for _ in 0..4 {
            minted(&world, |_| {}).await;
        }
        let sound = look(&world, None).await;
        by_hand(&world, "CREATE TABLE audit_copy AS SELECT * FROM audit_events").await;
        for sql in [
            "UPDATE audit_events SET at = 0 WHERE seq <= 4",
            "DELETE FROM audit_events WHERE seq <= 3; UPDATE audit_events SET at = 0 WHERE seq = 4",
            "INSERT INTO audit_events SELECT 0 - seq, 0, act, actor, subject, outcome, reason, address, request_id, details, times, mac FROM audit_copy WHERE seq = 4",
            "DELETE FROM audit_events WHERE seq = 1",
        ] {
            by_hand(&world, sql).await;
            let wrong = findings(&world).await;
            assert!(!wrong.is_empty(), "{sql}");
            prune_audit::prune(world.app()).await;
            assert_eq!(findings(&world).await, wrong, "{sql}: nothing was removed, and nothing is hidden");
            by_hand(&world, "DELETE FROM audit_events").await;
            by_hand(&world, "INSERT INTO audit_events SELECT * FROM audit_copy").await;
        }
        assert_eq!(look(&world, Some(sound.head)).await.findings, []);
    }

    async fn what_is_old_goes_and_the_rest_stays_sound(world: World) {
        let token = token_with(&world, "audit:read").await;
        minted(&world, |_| {}).await;
        let old = look(&world, None).await.head;
        world.advance(400 * 86_400 + 1);
        minted(&world, |_| {}).await;
        let before = look(&world, None).await;
        prune_audit::prune(world.app()).await;
        let after = look(&world, None).await;
        assert!(after.findings.is_empty(), "{after:?}");
        assert_eq!(after.events, 2, "the new key, and that old events were removed");
        assert_eq!(after.head.seq, before.head.seq + 1);
        let token_again = token_with(&world, "audit:read").await;
        let pruned = &events(&world, &token_again, "act=audit.pruned").await[0];
        assert_eq!(pruned["details"]["events"], old.seq);
        assert!(look(&world, Some(before.head)).await.findings.is_empty());
        assert!(look(&world, Some(old)).await.findings.is_empty(), "the last one that was removed is known still");
        let older = Link { seq: 1, ..old };
        assert_eq!(look(&world, Some(older)).await.findings, [Finding::TooOld(older)]);
        // What follows the record of the oldest may not be removed by anybody else.
        by_hand(&world, "DELETE FROM audit_events WHERE seq = (SELECT MIN(seq) FROM audit_events)").await;
        assert_eq!(findings(&world).await, [Finding::Missing(old.seq + 1, old.seq + 1)]);
        drop(token);
    }

    async fn two_nodes_and_many_hands_make_one_chain(world: World) {
        let tool = App::open(world.settings.clone(), world.clock.clone(), Entropy::system(), Role::Tool).await.unwrap();
        let from = look(&world, None).await.head.seq;
        let both = [world.app().clone(), tool.clone()];
        let mut hands = tokio::task::JoinSet::new();
        for n in 0..40 {
            let app = both[n % 2].clone();
            hands.spawn(async move { minted_by(&app, |_| {}).await });
        }
        assert_eq!(hands.join_all().await.len(), 40);
        let report = look(&world, None).await;
        assert!(report.findings.is_empty(), "{report:?}");
        assert_eq!(report.head.seq, from + 40);
        tool.store.close();
    }

    async fn it_is_read_page_by_page_and_kept_as_lines_or_a_table_s_k10(world: World) {
        let token = token_with(&world, "audit:read keys:write instances:read").await;
        for n in 0..25 {
            let name = if n == 3 { "=HYPERLINK(\"https://evil.example\"),\n\"quoted\"".replace('\n', "") } else { format!("key {n}") };
            let body = json!({"name": name, "environment": "test", "scopes": ["instances:read"]});
            assert_eq!(call(&world, "POST", "/v1/keys", &token, Some(body)).await.status, 201);
        }
        let mut seen = Vec::new();
        let mut at = String::new();
        loop {
            let page = call(&world, "GET", &format!("/v1/audit?act=key.minted&limit=10{at}"), &token, None).await.json();
            seen.extend(page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()));
            let Some(next) = page["next"].as_i64() else { break };
            at = format!("&before={next}");
        }
        assert_eq!(seen.len(), 25);
        assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
        let onward = events(&world, &token, &format!("act=key.minted&after={}&limit=3", seen[24])).await;
        assert_eq!(onward.iter().map(|e| e["seq"].as_i64().unwrap()).collect::<Vec<_>>(), [seen[23], seen[22], seen[21]]);

        let lines = call(&world, "GET", "/v1/audit/export?act=key.minted", &token, None).await;
        assert_eq!((lines.status, lines.header("content-type")), (200, Some("application/x-ndjson")));
        let told: Vec<i64> = lines.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64().unwrap()).collect();
        seen.reverse();
        assert_eq!(told, seen, "the oldest first");
        let table = call(&world, "GET", "/v1/audit/export?act=key.minted&format=csv", &token, None).await;
        assert!(table.header("content-disposition").unwrap().contains("audit.csv"));
        let mut rows = csv::Reader::from_reader(table.text.as_bytes());
        assert_eq!(rows.headers().unwrap().iter().nth(2), Some("act"));
        let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 25);
        assert!(rows.iter().all(|row| row.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@']))));
        assert!(rows[3][9].contains("HYPERLINK"), "{:?}", rows[3]);
    }

    async fn a_list_is_no_object_for_being_as_long(world: World) {
        let token = token_with(&world, "keys:write keys:verify instances:*").await;
        let (id, key) = minted(&world, |_| {}).await;
        let key_path = format!("/v1/keys/{id}");
        for (method, path, body) in [
            ("DELETE", key_path.as_str(), json!([])),
            ("POST", "/v1/keys", json!(["deploy", "prod", ["instances:read"]])),
            ("POST", "/v1/keys", json!({"name": "x", "environment": "prod", "scopes": ["instances:read"], "limits": [1]})),
            ("POST", "/v1/keys/verify", json!([key])),
            ("POST", "/v1/keys/verify", json!("x")),
        ] {
            problem(&call(&world, method, path, &token, Some(body)).await, 400, "invalid_request");
        }
        assert_eq!(call(&world, "POST", "/v1/keys/verify", &token, Some(json!({"key": key}))).await.json()["valid"], true);
    }

    async fn what_cannot_be_asked_is_named_and_not_passed_over(world: World) {
        let token = token_with(&world, "audit:read").await;
        for (query, named) in [
            ("act=key.mint", "act"), ("act=*", "act"), ("outcome=maybe", "outcome"), ("since=yesterday", "since"),
            ("until=1", "until"), ("after=-1", "after"), ("before=x", "before"), ("limit=0", "limit"), ("limit=1001", "limit"),
            ("acotr=system", "acotr"), ("actor=", "actor"), ("actor", "actor"), ("act=key.minted&act=key.revoked", "act"), ("actor=%00", "NUL"),
        ] {
            let reply = call(&world, "GET", &format!("/v1/audit?{query}"), &token, None).await;
            problem(&reply, 400, "invalid_request");
            assert!(reply.json()["detail"].as_str().unwrap().contains(named), "{query}: {}", reply.text);
        }
        problem(&call(&world, "GET", "/v1/audit/export?format=xml", &token, None).await, 400, "invalid_request");
        let none = token_with(&world, "keys:read").await;
        problem(&call(&world, "GET", "/v1/audit", &none, None).await, 403, "insufficient_scope");
        problem(&call(&world, "GET", "/v1/audit/export", &none, None).await, 403, "insufficient_scope");
    }
}

#[test]
fn the_command_line_tells_of_itself_and_exits_by_what_it_finds() {
    let place = Place::new();
    let made = place.json(&["key", "mint", "--name", "x", "--env", "prod", "--scope", "instances:read"]);
    let id = made["key_id"].as_str().unwrap();
    let all = place.json(&["audit", "tail", "--act", "key.*"]);
    let event = &all["events"][0];
    assert_eq!((&event["act"], &event["subject"]), (&json!("key.minted"), &json!(format!("key:{id}"))));
    assert!(event["actor"].as_str().unwrap().starts_with("command_line:"), "{event}");
    let report = place.json(&["audit", "verify"]);
    assert_eq!((&report["sound"], &report["findings"]), (&json!(true), &json!([])));
    let noted = report["head"].as_str().unwrap();
    assert_eq!(place.json(&["audit", "verify", "--noted", noted])["sound"], true);
    assert!(place.run(&["audit", "export", "--format", "csv"]).out.starts_with("seq,at,act,"));
    assert!(place.refused(&["audit", "tail", "--act", "nothing"]).contains("--act"));
    crate::process::sqlite(&place.database())
        .batch_execute("UPDATE audit_events SET actor = 'system' WHERE act = 'key.minted'")
        .unwrap();
    let ended = place.run(&["audit", "verify"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(
        ended.out.contains("is not as it was written") && ended.err.contains("changed"),
        "{} {}",
        ended.out,
        ended.err
    );
    let ended = place.run(&["--json", "audit", "verify", "--noted", "nonsense"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
}
