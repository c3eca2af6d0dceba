//! A second node beside a world's own: the same PostgreSQL database, the same master key, the same public address, another
//! port.

use std::sync::Arc;

use cnx::app::{App, Role};
use cnx::base::entropy::Entropy;
use cnx::{Running, serve};

use super::{World, free_port};

/// Another node of a world.
pub struct Node {
    /// Where it listens; not what it calls itself.
    pub base: String,
    running: Running,
}

impl World {
    /// Starts a second node. Only PostgreSQL can be shared.
    pub async fn second_node(&self) -> Node {
        let mut settings = self.settings.clone();
        settings.listen.set_port(free_port());
        let base = format!("http://localhost:{}", settings.listen.port());
        let app = App::open(settings, self.clock.clone(), Entropy::system(), Role::Server).await.unwrap();
        Node { base, running: serve(app, None).await.unwrap() }
    }
}

impl Node {
    pub fn app(&self) -> &Arc<App> {
        self.running.app()
    }
}
