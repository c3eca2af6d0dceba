# syntax=docker/dockerfile:1

# SQLite, libpq and OpenSSL are built from source and linked in: the binary needs nothing but the C library.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    .ci/release target && cp target/release/cnx /cnx

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/cnx --shell /usr/sbin/nologin cnx \
    && install -d -o cnx -g cnx -m 0700 /var/lib/cnx
COPY --from=build /cnx /usr/local/bin/cnx

USER 10001
WORKDIR /var/lib/cnx
ENV CNX_DATA_DIR=/var/lib/cnx \
    CNX_LISTEN=0.0.0.0:8080 \
    CNX_LOG__FORMAT=json
VOLUME /var/lib/cnx
EXPOSE 8080

# Asks the running server what a load balancer would ask. bash opens the connection by itself: the image has no curl, and
# `cnx doctor` judges settings and database, not whether this process answers.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["cnx"]
CMD ["serve"]
