//! `floor PORT WORKERS`: what the HTTP library alone can do. Every request is answered with the same 1 KiB of JSON.

use actix_web::{App, HttpResponse, HttpServer, http::header, web};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let numbers: Vec<u16> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [port, workers] = numbers[..] else {
        eprintln!("usage: floor PORT WORKERS");
        std::process::exit(2);
    };
    let body = web::Bytes::from(format!("{{\"filler\":\"{}\"}}", "x".repeat(1011)));
    HttpServer::new(move || {
        let body = body.clone();
        // The request's body is read: one that is not would close the connection.
        App::new().default_service(web::to(move |_read: web::Bytes| {
            let body = body.clone();
            async move { HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json")).body(body) }
        }))
    })
    .workers(workers.into())
    .bind(("127.0.0.1", port))?
    .run()
    .await
}
