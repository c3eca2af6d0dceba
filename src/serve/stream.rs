//! What the bytes of a connection come and go by: TCP, or TLS of our own over it.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// A connection that HTTP is spoken on.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// What it is made of.
pub(super) fn tcp(stream: &Stream) -> &TcpStream {
    match stream {
        Either::Left(tcp) => tcp,
        Either::Right(tls) => tls.get_ref().0,
    }
}

/// HTTP/2 by its name (RFC 7301 §6, RFC 9113 §3.2).
const HTTP2: &[u8] = b"h2";

/// What makes connections secure, for whoever speaks HTTP/2, rather, or HTTP/1.1.
pub(super) fn acceptor(mut config: rustls::ServerConfig) -> TlsAcceptor {
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Arc::new(config).into()
}

/// Whether the peer and we agreed on HTTP/2.
pub(super) fn speaks_http2(tls: &TlsStream<TcpStream>) -> bool {
    tls.get_ref().1.alpn_protocol() == Some(HTTP2)
}
