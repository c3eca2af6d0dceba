//! What the database holds: nothing for a refresh, nothing for a question, and what is spent for longer than it could be
//! spent again.

use std::collections::BTreeMap;

use cnx::store::{Conn, StoreError, sweep};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::world::{Tokens, VERIFIER, World, authorize_path, on_both};

const TABLES: [&str; 12] = [
    "meta",
    "clients",
    "client_secrets",
    "users",
    "one_time_links",
    "sessions",
    "consents",
    "families",
    "spent",
    "signing_keys",
    "changes",
    "throttles",
];

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// The number of rows of every table.
async fn rows(world: &World) -> BTreeMap<&'static str, i64> {
    let act = |conn: &mut Conn| {
        let mut counts = BTreeMap::new();
        for table in TABLES {
            let query = diesel::sql_query(format!("SELECT count(*) AS n FROM {table}"));
            let count: Count = match conn {
                Conn::Postgres(c) => query.get_result(c)?,
                Conn::Sqlite(c) => query.get_result(c)?,
            };
            counts.insert(table, count.n);
        }
        Ok::<_, StoreError>(counts)
    };
    world.app().store.read(act).await.unwrap()
}

async fn sweep_all(world: &World) -> usize {
    let mut swept = 0;
    loop {
        let now = world.clock.now();
        match world.app().store.write(move |conn| sweep::batch(conn, now)).await.unwrap() {
            0 => return swept,
            n => swept += n,
        }
    }
}

on_both! {
    /// Pitfall 10: "a write per authenticated request"; and the issue: no table grows with refreshes or with traffic.
    async fn no_table_grows_with_refreshes_or_questions_f26_pitfall_10(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let mut tokens = browser.tokens(&world, &client, &[], "ada").await;
        let before = rows(&world).await;
        for _ in 0..20 {
            let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
            tokens = Tokens::of(&world.token(&client, &form).await);
            assert_eq!(world.user_info(&tokens.access).await.status, 200);
            assert_eq!(world.introspect(&client, &tokens.access).await["active"], true);
            assert_eq!(world.token(&client, &[("grant_type", "client_credentials")]).await.status, 200);
            assert_eq!(browser.open(&authorize_path(&client, &[("prompt", "none")])).await.callback().error(), "");
            assert_eq!(world.get("/.well-known/jwks.json").await.status, 200);
        }
        assert_eq!(rows(&world).await, before);
    }

    /// Pitfall 11: "replay memory shorter than token life + leeway".
    async fn what_is_spent_is_remembered_for_longer_than_it_lives_pitfall_11(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let code = world.browser().authorize(&authorize_path(&client, &[]), "ada").await.code();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", crate::world::CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        assert_eq!(world.token(&client, &form).await.status, 200);
        // In the last second of the code's life, and for the leeway after it, its row is there whatever is swept.
        world.advance(world.settings.tokens.code_seconds - 1);
        sweep_all(&world).await;
        assert_eq!(world.token(&client, &form).await.error(), "invalid_grant");
        world.advance(60);
        sweep_all(&world).await;
        assert!(rows(&world).await["spent"] >= 1, "remembered through the leeway");
        // And then it goes: the table does not grow for ever.
        world.advance(7200);
        sweep_all(&world).await;
        assert_eq!(rows(&world).await["spent"], 0);
        assert_eq!(world.token(&client, &form).await.error(), "invalid_grant");
    }

    /// What expired goes, a little at a time, and what lives stays.
    async fn the_sweeper_takes_what_expired_and_leaves_what_lives_f26(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        for _ in 0..3 {
            world.browser().tokens(&world, &client, &[("scope", "openid")], "ada").await;
        }
        sweep_all(&world).await;
        assert_eq!(rows(&world).await["families"], 4);
        // Past the longest life of a family, and the week in which a replay is still recognised.
        world.advance(world.settings.tokens.refresh_seconds + 8 * 86_400);
        assert!(sweep_all(&world).await > 0);
        let left = rows(&world).await;
        assert_eq!((left["families"], left["sessions"], left["spent"], left["changes"]), (0, 0, 0, 0));
        assert_eq!((left["users"], left["clients"], left["consents"]), (1, 1, 1));
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
        assert_eq!(world.token(&client, &form).await.error(), "invalid_grant");
    }
}
