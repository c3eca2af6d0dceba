//! The links that `canary_flows` does not meet on its other ways: of the first administrator, of invitations, of a new address. Each is made,
//! used, and shown again when it is spent.

use crate::canary_flows::Walker;
use crate::console_people::{act, text_of};
use crate::process::Node;
use crate::world::{Browser, PASSWORD};

const INVITED: &str = "canary@example.com";
const CHOSEN: &str = "plank heron velvet 4711";

/// What stands in a link and must stand nowhere else.
pub fn token_of(link: &str) -> String {
    link.split_once("token=").unwrap_or_else(|| panic!("no link: {link}")).1.to_owned()
}

impl Walker<'_> {
    /// The link that a server without an administrator prints, and the owner whom it makes; she is signed in.
    pub async fn is_set_up(&mut self, node: &Node) -> Browser {
        let began = std::time::Instant::now();
        let greeting: serde_json::Value = loop {
            if let Ok(greeting) = serde_json::from_str(&node.out()) {
                break greeting;
            }
            assert!(began.elapsed().as_secs() < 20, "no greeting: {}", node.out());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        let link = greeting["set_up_url"].as_str().unwrap();
        self.secrets.keep("the first administrator's link", token_of(link));
        let browser = self.browser();
        let page = browser.open(link).await;
        let typed =
            [("email", "olga@example.com"), ("username", "olga"), ("name", "Olga"), ("password", PASSWORD)];
        let form = page.form(&typed);
        let made = browser.post(&form.action, &form.fields).await;
        assert_eq!(made.status, 303, "{}", made.text);
        self.spent(link).await;
        let page = browser.open("/sign-in").await;
        browser.sign_in(&page, "olga").await;
        self.secrets.keep("a cookie", browser.cookie("cnx_session").unwrap());
        browser
    }

    /// Invitations: two that go by mail, of which the first dies, and a link that the page shows.
    pub async fn invites(&mut self, olga: &Browser) {
        let asked = [("email", INVITED), ("role", "member")];
        let page = act(olga, "/console/people/invite", "invite", &asked).await;
        assert!(page.text.contains("The invitation is on its way"), "{}", page.text);
        let first = self.mailed(INVITED, 1).await;
        let people = self.place.json(&["user", "list"]);
        let everybody = people["users"].as_array().unwrap();
        let invited = everybody.iter().find(|user| user["email"] == INVITED).unwrap();
        let path = format!("/console/people/{}", invited["user_id"].as_str().unwrap());
        act(olga, &path, "invite", &[]).await;
        let second = self.mailed(INVITED, 2).await;
        self.secrets.keep("an invitation's token", token_of(&first));
        self.secrets.keep("a second invitation's token", token_of(&second));
        assert_ne!(first, second);
        self.spent(&first).await;
        let guest = self.browser();
        let page = guest.open(&second).await;
        assert_eq!(guest.submit(&page, &[("password", CHOSEN)]).await.status, 200);
        self.secrets.keep("the password of somebody who was invited", CHOSEN);
        self.spent(&second).await;
        // What an owner is shown, and nobody used.
        let page = act(olga, &path, "link", &[]).await;
        self.secrets
            .keep("the token of a link that a page shows", token_of(text_of(&page, "password-link").trim()));
    }

    /// Ada's new address, which a link shows to be hers.
    pub async fn moves(&mut self, ada: &Browser, to: &str) {
        let page = ada.open("/account/email").await;
        let page = ada.submit(&page, &[("email", to)]).await;
        assert!(page.text.contains("We sent a link"), "{}", page.text);
        let link = self.mailed(to, 1).await;
        assert!(link.contains("/verify-email?token="), "{link}");
        self.secrets.keep("the token of a new address", token_of(&link));
        let anywhere = self.browser();
        let page = anywhere.open(&link).await;
        let page = anywhere.submit(&page, &[]).await;
        assert!(page.text.contains("Your address is confirmed"), "{}", page.text);
        self.spent(&link).await;
    }

    /// A link that does not work any more, and what is said of it.
    async fn spent(&mut self, link: &str) {
        let spent = self.browser().get(link).await;
        self.told(&spent, 400);
    }
}
