-- Times are seconds since 1970, ids are 16 bytes, fingerprints are 32 bytes, JSON is text.
-- The twin of migrations/sqlite/2026-11-23-000000_initial: same tables, columns and nullability.
-- Never change an applied migration: its checksum is verified at every start.

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE clients (
    client_id TEXT NOT NULL PRIMARY KEY,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE client_secrets (
    fingerprint BYTEA NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (client_id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX client_secrets_client_id ON client_secrets (client_id);
CREATE INDEX client_secrets_expires_at ON client_secrets (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE users (
    id BYTEA NOT NULL PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    email TEXT UNIQUE,
    email_verified BOOLEAN NOT NULL,
    name TEXT,
    claims TEXT NOT NULL,
    is_admin BOOLEAN NOT NULL,
    password_hash TEXT,
    password_changed_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE one_time_links (
    fingerprint BYTEA NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    user_id BYTEA,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX one_time_links_user_id ON one_time_links (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX one_time_links_expires_at ON one_time_links (expires_at);

CREATE TABLE sessions (
    id BYTEA NOT NULL PRIMARY KEY,
    fingerprint BYTEA NOT NULL UNIQUE,
    user_id BYTEA NOT NULL,
    auth_time BIGINT NOT NULL,
    amr TEXT NOT NULL,
    acr TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    user_agent TEXT,
    address TEXT
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE consents (
    user_id BYTEA NOT NULL,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);
CREATE INDEX consents_client_id ON consents (client_id);

-- One row for a sign-in at a client, none for a token: a refresh changes generation and rotated_at in place and touches no index, and the
-- spare fifth of each page keeps the new version of a row beside the old one.
CREATE TABLE families (
    id BYTEA NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    user_id BYTEA NOT NULL,
    session_id BYTEA,
    scope TEXT NOT NULL,
    claims TEXT NOT NULL,
    nonce TEXT,
    auth_time BIGINT NOT NULL,
    acr TEXT NOT NULL,
    amr TEXT NOT NULL,
    salt BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    refreshable BOOLEAN NOT NULL,
    offline BOOLEAN NOT NULL,
    revoked_at BIGINT
) WITH (fillfactor = 80);
CREATE INDEX families_user_id ON families (user_id, client_id);
CREATE INDEX families_client_id ON families (client_id);
CREATE INDEX families_session_id ON families (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX families_expires_at ON families (expires_at);
CREATE INDEX families_revoked_at ON families (revoked_at) WHERE revoked_at IS NOT NULL;

-- The gate of everything that is accepted once: the primary key decides every race.
CREATE TABLE spent (
    kind SMALLINT NOT NULL,
    id BYTEA NOT NULL,
    family_id BYTEA,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX spent_expires_at ON spent (expires_at);

CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    alg TEXT NOT NULL,
    generation BIGINT NOT NULL,
    private_sealed BYTEA,
    public_jwk TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    sign_from BIGINT NOT NULL,
    revoked_at BIGINT,
    UNIQUE (alg, generation)
);

-- Writers take an advisory lock first (store/changes.rs), so that the order of numbers is the order of commits.
CREATE TABLE changes (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX changes_at ON changes (at);

CREATE TABLE throttles (
    key BYTEA NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    first_failed_at BIGINT NOT NULL,
    last_failed_at BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX throttles_expires_at ON throttles (expires_at);
