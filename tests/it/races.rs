//! Many requests at the same moment, on one node and on two: what is accepted once is accepted once, and what is revoked
//! is dead whoever was faster (P1, P3).

use std::collections::HashSet;
use std::time::Duration;

use cnx::account::user::User;
use cnx::app::App;
use cnx::base::id::ClientId;
use cnx::base::secret::Secret;
use cnx::flow::people;
use cnx::store::spent::{self, SpentKind};
use cnx::store::{Conn, consents, families};
use futures_util::future::{join, join_all};

use crate::token_requests::{
    assert_access_dead, assert_alive, assert_dead, code, exchange, exchange_with, granted, refresh,
    refreshed, refused, tokens,
};
use crate::world::{
    Browser, CALLBACK, Node, On, PASSWORD, Reply, TestClient, Tokens, VERIFIER, World, authorize_path, by,
    claims, on_both,
};

/// The nodes of one database.
struct Nodes<'a> {
    world: &'a World,
    second: Option<&'a Node>,
}

impl<'a> Nodes<'a> {
    fn bases(&self) -> Vec<&'a str> {
        let second = self.second.map(|node| node.base.as_str());
        std::iter::once(self.world.base.as_str()).chain(second).collect()
    }

    /// Where things happen that are not requests.
    fn last(&self) -> &App {
        self.second.map_or_else(|| self.world.app(), Node::app)
    }

    /// A client that every node knows; without this they would within a second (P3).
    async fn client(&self, public: bool) -> TestClient {
        let client = if public { self.world.public_client().await } else { self.world.web_client().await };
        if let Some(node) = self.second {
            node.app().catch_up().await.unwrap();
        }
        client
    }
}

/// One request to the token endpoint of a node.
async fn ask(world: &World, base: &str, client: &TestClient, form: &[(&str, &str)]) -> Reply {
    let mut form = form.to_vec();
    let mut request = world.http.post(format!("{base}/oauth2/token"));
    match &client.secret {
        Some(secret) => request = request.basic_auth(&client.id, Some(secret)),
        None => form.push(("client_id", &client.id)),
    }
    Reply::of(request.form(&form).send().await.unwrap()).await
}

/// The same request twenty times at once, spread over the nodes.
async fn twenty(world: &World, bases: &[&str], client: &TestClient, form: &[(&str, &str)]) -> Vec<Reply> {
    join_all((0..20).map(|i| ask(world, bases[i % bases.len()], client, form))).await
}

async fn redeem_at_once(nodes: &Nodes<'_>) {
    let (world, bases) = (nodes.world, nodes.bases());
    for client in [nodes.client(false).await, nodes.client(true).await] {
        let code = code(world, &client, &[], "ada").await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let (winners, losers): (Vec<_>, Vec<_>) =
            twenty(world, &bases, &client, &form).await.into_iter().partition(|r| r.status == 200);
        assert_eq!(winners.len(), 1, "{:?}", losers.iter().map(|r| r.status).collect::<Vec<_>>());
        for reply in &losers {
            refused(reply, 400, "invalid_grant");
        }
        // Nineteen replays, all of them valid but for being late: nothing of the first is left (D4).
        assert_dead(world, &client, &granted(&winners[0])).await;
    }
}

async fn refresh_at_once(nodes: &Nodes<'_>) {
    let (world, bases) = (nodes.world, nodes.bases());
    for client in [nodes.client(false).await, nodes.client(true).await] {
        let first = tokens(world, &client, "ada").await;
        let mut current = first.refresh().to_owned();
        for _ in 0..3 {
            let form = [("grant_type", "refresh_token"), ("refresh_token", current.as_str())];
            let replies = twenty(world, &bases, &client, &form).await;
            let successors: HashSet<String> =
                replies.iter().map(|r| granted(r).refresh().to_owned()).collect();
            assert_eq!(successors.len(), 1, "every answer has the same successor");
            let successor = successors.into_iter().next().unwrap();
            assert_ne!(successor, current);
            current = successor;
        }
        // One branch: the live token works, and one of its ancestors ends everything.
        let last = refreshed(world, &client, &current).await;
        assert_alive(world, &last).await;
        refused(&refresh(world, &client, first.refresh()).await, 400, "invalid_grant");
        assert_dead(world, &client, &last).await;
    }
}

/// Refreshes on and on until it is told no, and gives everything that it was given.
async fn keep_refreshing(world: &World, base: &str, client: &TestClient, from: &Tokens) -> Vec<Tokens> {
    let mut given = vec![from.clone()];
    for _ in 0..200 {
        let token = given.last().unwrap().refresh().to_owned();
        let reply =
            ask(world, base, client, &[("grant_type", "refresh_token"), ("refresh_token", &token)]).await;
        if reply.status != 200 {
            refused(&reply, 400, "invalid_grant");
            return given;
        }
        given.push(granted(&reply));
    }
    panic!("nobody stopped it");
}

const EVENTS: [&str; 6] = [
    "revocation",
    "revocation of an access token",
    "sign-out",
    "new password",
    "disabled",
    "consent withdrawn",
];

/// Lets something happen that ends what `user` gave.
async fn happen(
    nodes: &Nodes<'_>,
    event: &str,
    client: &TestClient,
    user: &User,
    given: &Tokens,
    browser: &Browser,
) {
    let world = nodes.world;
    match event {
        "revocation" => {
            assert_eq!(
                world.post("/oauth2/revoke", Some(client), &[("token", given.refresh())]).await.status,
                200
            );
        }
        "revocation of an access token" => {
            assert_eq!(
                world.post("/oauth2/revoke", Some(client), &[("token", &given.access)]).await.status,
                200
            );
        }
        "sign-out" => {
            assert_eq!(
                browser.open(&format!("/oauth2/logout?id_token_hint={}", given.id())).await.status,
                200
            );
        }
        "new password" => {
            people::set_password(nodes.last(), by(), user, Secret::new(PASSWORD.to_owned())).await.unwrap();
        }
        "disabled" => people::set_disabled(nodes.last(), by(), user.id, true).await.unwrap(),
        _ => {
            let (id, of, now): (ClientId, _, _) = (client.id.parse().unwrap(), user.id, world.clock.now());
            let withdraw = move |conn: &mut Conn| {
                consents::withdraw(conn, of, &id)?;
                families::revoke_of_consent(conn, of, &id, now)
            };
            nodes.last().store.write(withdraw).await.unwrap();
        }
    }
}

async fn refresh_against_ends(nodes: &Nodes<'_>) {
    let (world, client) = (nodes.world, nodes.client(false).await);
    let bases = nodes.bases().repeat(3 / nodes.bases().len() + 1);
    for event in EVENTS {
        for round in 0..3_u64 {
            let user = world.add_user(&format!("u-{}-{round}", event.replace(' ', "-"))).await;
            let browser = world.browser();
            let given = browser.tokens(world, &client, &[("scope", "openid")], &user.username).await;
            let refreshing = join_all(bases.iter().map(|base| keep_refreshing(world, base, &client, &given)));
            let ending = async {
                tokio::time::sleep(Duration::from_millis(5 + 20 * round)).await;
                happen(nodes, event, &client, &user, &given, &browser).await;
            };
            let (all, ()) = join(refreshing, ending).await;
            for tokens in all.iter().flatten() {
                assert_access_dead(world, tokens).await;
            }
            for branch in &all {
                refused(
                    &refresh(world, &client, branch.last().unwrap().refresh()).await,
                    400,
                    "invalid_grant",
                );
            }
        }
    }
}

/// A code that is redeemed while its ground is taken away gives nothing that lives on, whoever comes first.
async fn redeem_against_ends(nodes: &Nodes<'_>) {
    let (world, client, bases) = (nodes.world, nodes.client(false).await, nodes.bases());
    let (bases, of) = (&bases, &client);
    for event in ["sign-out", "new password", "disabled", "consent withdrawn"] {
        for round in 0..12_u64 {
            let user = world.add_user(&format!("r-{}-{round}", event.replace(' ', "-"))).await;
            let browser = world.browser();
            let before = browser.tokens(world, &client, &[], &user.username).await;
            let mut codes = Vec::new();
            for _ in 0..6 {
                codes.push(
                    browser
                        .authorize(&authorize_path(&client, &[("scope", "openid")]), &user.username)
                        .await
                        .code(),
                );
            }
            let redeeming = join_all(codes.iter().enumerate().map(|(i, code)| async move {
                tokio::time::sleep(Duration::from_millis(u64::try_from(i).unwrap())).await;
                let form = [
                    ("grant_type", "authorization_code"),
                    ("code", code),
                    ("redirect_uri", CALLBACK),
                    ("code_verifier", VERIFIER),
                ];
                ask(world, bases[i % bases.len()], of, &form).await
            }));
            let ending = async {
                tokio::time::sleep(Duration::from_millis(round / 3)).await;
                happen(nodes, event, &client, &user, &before, &browser).await;
            };
            let (replies, ()) = join(redeeming, ending).await;
            for reply in &replies {
                if reply.status == 200 {
                    assert_dead(world, &client, &granted(reply)).await;
                } else {
                    refused(reply, 400, "invalid_grant");
                }
            }
        }
    }
}

on_both! {
    async fn of_twenty_redemptions_of_a_code_one_succeeds_r99_s_c3_pitfall_1(world: World) {
        world.add_user("ada").await;
        redeem_at_once(&Nodes { world: &world, second: None }).await;
    }

    /// The row that spends a code and the row of its family come together or not at all.
    async fn a_code_is_spent_in_the_write_that_begins_its_family_s_c4(world: World) {
        let client = world.web_client().await;
        let user = world.add_user("ada").await;
        let code = code(&world, &client, &[], "ada").await;
        let opened = cnx::oauth::code::open(&world.app().vault, &Secret::new(code.clone())).unwrap();
        // Spent, how many families, and spent once more: statements that may each see a later state.
        let look = || {
            let (of, id, now) = (user.id, opened.id, world.clock.now());
            world.app().store.read(move |conn| {
                let before = spent::is_spent(conn, SpentKind::Code, id.as_bytes())?;
                let begun = families::of_user(conn, of, now)?.len();
                Ok((before, begun, spent::is_spent(conn, SpentKind::Code, id.as_bytes())?))
            })
        };
        assert_eq!(look().await.unwrap(), (false, 0, false), "nothing is stored when a code is given");
        refused(&exchange_with(&world, &client, &code, &[("code_verifier", "")]).await, 400, "invalid_grant");
        refused(&exchange_with(&world, &client, &code, &[("redirect_uri", "")]).await, 400, "invalid_grant");
        assert_eq!(look().await.unwrap(), (false, 0, false), "a wrong presentation spends nothing");
        let watching = async {
            for _ in 0..60 {
                let (before, begun, after) = look().await.unwrap();
                assert!(begun <= 1 && (!before || begun == 1) && (begun == 0 || after), "{before} {begun} {after}");
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        };
        let (reply, ()) = join(exchange(&world, &client, &code), watching).await;
        granted(&reply);
        assert_eq!(look().await.unwrap(), (true, 1, true));
        refused(&exchange(&world, &client, &code).await, 400, "invalid_grant");
        assert_eq!(look().await.unwrap(), (true, 0, true), "revoked, and not begun a second time");
    }

    async fn twenty_refreshes_of_a_token_make_one_successor_r99_s_r4_pitfall_1(world: World) {
        world.add_user("ada").await;
        refresh_at_once(&Nodes { world: &world, second: None }).await;
    }

    async fn nothing_lives_after_a_refresh_raced_with_an_end_s_r6(world: World) {
        refresh_against_ends(&Nodes { world: &world, second: None }).await;
    }

    async fn nothing_lives_after_a_code_raced_with_an_end_s_c12(world: World) {
        redeem_against_ends(&Nodes { world: &world, second: None }).await;
    }

    async fn a_replay_among_refreshes_ends_the_family_for_all_s_r4_s_r2(world: World) {
        let client = world.public_client().await;
        world.add_user("ada").await;
        for _ in 0..5 {
            let one = tokens(&world, &client, "ada").await;
            let two = refreshed(&world, &client, one.refresh()).await;
            let three = refreshed(&world, &client, two.refresh()).await;
            // The thief's old token and the owner's live one, at once: afterwards there is no live branch.
            let forms = [one.refresh(), three.refresh(), two.refresh(), three.refresh(), one.refresh()];
            let replies = join_all(forms.map(|token| refresh(&world, &client, token))).await;
            for reply in &replies {
                if reply.status == 200 { assert_dead(&world, &client, &granted(reply)).await } else { refused(reply, 400, "invalid_grant") }
            }
            assert_dead(&world, &client, &three).await;
        }
    }
}

/// A world with two nodes, on PostgreSQL, where `tests/run` started one.
macro_rules! on_two_nodes {
    ($(async fn $name:ident($nodes:ident) $body:block)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let Some(world) = World::new(On::Postgres).await else {
                return eprintln!("skipped: TEST_POSTGRES_URL is not set");
            };
            let second = world.second_node().await;
            world.add_user("ada").await;
            let $nodes = Nodes { world: &world, second: Some(&second) };
            $body
        }
    )+};
}

on_two_nodes! {
    async fn of_twenty_redemptions_on_two_nodes_one_succeeds_s_c3(nodes) {
        redeem_at_once(&nodes).await;
    }

    async fn twenty_refreshes_on_two_nodes_make_one_successor_s_r4(nodes) {
        refresh_at_once(&nodes).await;
    }

    async fn nothing_lives_after_a_refresh_raced_with_an_end_on_another_node_s_r6(nodes) {
        refresh_against_ends(&nodes).await;
    }

    async fn nothing_lives_after_a_code_raced_with_an_end_on_another_node_s_c12(nodes) {
        redeem_against_ends(&nodes).await;
    }

    async fn two_nodes_take_each_others_codes_and_tokens_s_r3(nodes) {
        let (world, client) = (nodes.world, nodes.client(false).await);
        let there = nodes.bases()[1];
        let code = code(world, &client, &[], "ada").await;
        let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
        let first = granted(&ask(world, there, &client, &form).await);
        assert_eq!(claims(&first.access)["iss"], world.base.as_str(), "one issuer, whichever node answers");
        let second = refreshed(world, &client, first.refresh()).await;
        let form = [("grant_type", "refresh_token"), ("refresh_token", first.refresh())];
        assert_eq!(granted(&ask(world, there, &client, &form).await).refresh, second.refresh, "a retry may go to another node");
        assert_alive(world, &first).await;
        // What is revoked here is dead there with the next request.
        assert_eq!(world.post("/oauth2/revoke", Some(&client), &[("token", second.refresh())]).await.status, 200);
        let form = [("grant_type", "refresh_token"), ("refresh_token", second.refresh())];
        refused(&ask(world, there, &client, &form).await, 400, "invalid_grant");
        let request = world.http.get(format!("{there}/oauth2/userinfo")).bearer_auth(&second.access);
        assert_eq!(request.send().await.unwrap().status().as_u16(), 401);
    }
}
