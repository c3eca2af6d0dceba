//! Lists of the console: a page shows so many and no more, and the way from page to page passes everything once (issue: "lists page by cursor").

use std::collections::BTreeSet;

use cnx::account::role::Role;
use cnx::store::audit::{self, Entry, Outcome};
use scraper::{Html, Selector};

use crate::api_keys::minted;
use crate::page_table::House;
use crate::world::{Browser, on_both};

/// The most that a page of any list shows.
const MOST: usize = 100;

/// Everything that a list shows on its way from page to page, in order: what `pick` finds in the address of a link, or in a cell.
async fn walk(browser: &Browser, first: &str, pick: impl Fn(&Html) -> Vec<String>) -> Vec<String> {
    let next = Selector::parse("a[rel=next]").unwrap();
    let (mut all, mut pages) = (Vec::new(), 0);
    let mut path = first.to_owned();
    loop {
        let reply = browser.get(&path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        let page = Html::parse_document(&reply.text);
        let found = pick(&page);
        assert!(found.len() <= MOST, "{path} shows {}", found.len());
        all.extend(found);
        pages += 1;
        assert!(pages < 1_000, "{first} does not end");
        match page.select(&next).next().and_then(|link| link.attr("href")) {
            Some(to) => to.clone_into(&mut path),
            None => return all,
        }
    }
}

/// The last parts of the addresses of a table's links below `prefix`, each once a page.
fn linked(prefix: &'static str) -> impl Fn(&Html) -> Vec<String> {
    let links = Selector::parse("table a[href]").unwrap();
    move |page| {
        let mut seen = BTreeSet::new();
        page.select(&links)
            .filter_map(|link| link.attr("href")?.strip_prefix(prefix))
            .filter(|id| !id.contains(['/', '?']) && seen.insert((*id).to_owned()))
            .map(str::to_owned)
            .collect()
    }
}

#[track_caller]
fn each_once(shown: &[String], wanted: impl IntoIterator<Item = String>) {
    let distinct: BTreeSet<&String> = shown.iter().collect();
    assert_eq!(distinct.len(), shown.len(), "something is shown twice");
    for one in wanted {
        assert!(distinct.contains(&one), "{one} is never shown");
    }
}

on_both! {
    async fn the_list_of_keys_is_walked_page_by_page(world: World) {
        let house = House::new(world).await;
        let mut made = Vec::new();
        for n in 0..250 {
            let (id, _) = minted(&house.world, |new| new.name = format!("key {n}")).await;
            made.push(id);
            if n % 10 == 0 {
                house.world.advance(1);
            }
        }
        let browser = house.browser(Role::Owner).await;
        let shown = walk(&browser, "/console/keys", linked("/console/keys/")).await;
        each_once(&shown, made);
        // A member sees none of them.
        let member = house.browser(Role::Member).await;
        assert!(walk(&member, "/console/keys", linked("/console/keys/")).await.is_empty());
    }

    async fn the_lists_of_people_and_apps_are_walked_page_by_page(world: World) {
        let house = House::new(world).await;
        let (mut people, mut apps) = (Vec::new(), Vec::new());
        for n in 0..130 {
            people.push(house.world.add_user(&format!("person{n}")).await.id.to_string());
            apps.push(house.world.web_client().await.id);
        }
        let browser = house.browser(Role::Owner).await;
        each_once(&walk(&browser, "/console/people", linked("/console/people/")).await, people);
        each_once(&walk(&browser, "/console/apps", linked("/console/apps/")).await, apps);
    }

    async fn the_audit_log_is_walked_page_by_page(world: World) {
        let house = House::new(world).await;
        let app = house.world.app();
        let entries: Vec<Entry> = (0..500).map(|n| Entry {
            at: app.now(),
            act: "key.minted".to_owned(),
            actor: "user:somebody".to_owned(),
            subject: Some(format!("key:{n:010}")),
            outcome: Outcome::Done,
            reason: None,
            address: None,
            request_id: None,
            details: None,
            times: 1,
        }).collect();
        let vault = app.vault.clone();
        app.store.write(move |conn| audit::append(conn, &vault, &entries)).await.unwrap();
        let browser = house.browser(Role::Owner).await;
        let cells = Selector::parse("table tbody tr").unwrap();
        let subjects = move |page: &Html| {
            let rows = page.select(&cells).map(|row| row.text().collect::<String>());
            rows.filter_map(|text| text.split("key:").nth(1).map(|rest| rest.chars().take(10).collect())).collect()
        };
        let shown = walk(&browser, "/console/audit", subjects).await;
        each_once(&shown, (0..500).map(|n| format!("{n:010}")));
    }
}
