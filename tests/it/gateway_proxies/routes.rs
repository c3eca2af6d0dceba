//! A table of routes behind real gateways: what they tell of a request is what the table is asked about.

use std::time::Duration;

use cnx::api_key::route_table::{RouteTable, Row};

use super::site::{Behind, manual, sites_with};
use crate::wire::exchange;

fn row(methods: &[&str], path: &str, scope: &str) -> Row {
    let methods = methods.iter().map(|method| (*method).to_owned()).collect();
    Row { methods, path: path.to_owned(), scope: scope.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_gateway_tells_the_route_and_the_table_decides_s_k4_c44() {
    let table = RouteTable::parse(&[
        row(&["GET"], "/v1/instances/{id}", "instances:read"),
        row(&["DELETE"], "/v1/instances/{id}", "secrets:any"),
        row(&["*"], "/v1/open/{rest...}", ""),
    ])
    .unwrap();
    for site in sites_with(manual, Behind::Mirror, table).await {
        let (_, key) = site.key("instances:read instances:delete").await;
        for (method, path, expected) in [
            ("GET", "/v1/instances/7", 200),
            ("HEAD", "/v1/instances/7", 200),
            ("GET", "/v1/open/a%20b?c=/../d", 200),
            // The gateway itself asks for instances:delete, which the key has; the table asks for more.
            ("DELETE", "/v1/instances/7", 403),
            // And the gateway for more than the table.
            ("POST", "/v1/open/a", 403),
            ("GET", "/v1/volumes", 403),
            ("GET", "/v1/open/../instances/7", 400),
            ("GET", "/v1/open/%2e%2e/instances/7", 400),
            ("GET", "/v1/open//a", 400),
            ("GET", "/v1/open/a%2Fb", 400),
            ("GET", "/v1/open/a;b", 400),
        ] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
                 X-Forwarded-Uri: /v1/open/x\r\nX-Original-URI: /v1/open/x\r\nX-Forwarded-Method: GET\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let heard = exchange(&site.url, request.as_bytes(), Duration::from_secs(10));
            assert_eq!(heard.status(), expected, "{:?} {method} {path}: {}", site.kind, heard.text);
        }
    }
}
