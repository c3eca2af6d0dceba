-- Times are seconds since 1970, ids are 16 bytes, fingerprints are 32 bytes, JSON is text.
-- The twin of migrations/postgres/2026-11-23-000000_initial: same tables, columns and nullability.
-- Never change an applied migration: its checksum is verified at every start.

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clients (
    client_id TEXT NOT NULL PRIMARY KEY,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

CREATE TABLE client_secrets (
    fingerprint BLOB NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (client_id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX client_secrets_client_id ON client_secrets (client_id);
CREATE INDEX client_secrets_expires_at ON client_secrets (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    email TEXT UNIQUE,
    email_verified INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
    name TEXT,
    claims TEXT NOT NULL,
    is_admin INTEGER NOT NULL CHECK (is_admin IN (0, 1)),
    password_hash TEXT,
    password_changed_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

CREATE TABLE one_time_links (
    fingerprint BLOB NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    user_id BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX one_time_links_user_id ON one_time_links (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX one_time_links_expires_at ON one_time_links (expires_at);

CREATE TABLE sessions (
    id BLOB NOT NULL PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    user_id BLOB NOT NULL,
    auth_time INTEGER NOT NULL,
    amr TEXT NOT NULL,
    acr TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    user_agent TEXT,
    address TEXT
) STRICT;
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE consents (
    user_id BLOB NOT NULL,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX consents_client_id ON consents (client_id);

-- One row for a sign-in at a client, none for a token: a refresh changes generation and rotated_at in place and touches no index.
CREATE TABLE families (
    id BLOB NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    user_id BLOB NOT NULL,
    session_id BLOB,
    scope TEXT NOT NULL,
    claims TEXT NOT NULL,
    nonce TEXT,
    auth_time INTEGER NOT NULL,
    acr TEXT NOT NULL,
    amr TEXT NOT NULL,
    salt BLOB NOT NULL,
    generation INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    refreshable INTEGER NOT NULL CHECK (refreshable IN (0, 1)),
    offline INTEGER NOT NULL CHECK (offline IN (0, 1)),
    revoked_at INTEGER
) STRICT;
CREATE INDEX families_user_id ON families (user_id, client_id);
CREATE INDEX families_client_id ON families (client_id);
CREATE INDEX families_session_id ON families (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX families_expires_at ON families (expires_at);
CREATE INDEX families_revoked_at ON families (revoked_at) WHERE revoked_at IS NOT NULL;

-- The gate of everything that is accepted once: the primary key decides every race.
CREATE TABLE spent (
    kind INTEGER NOT NULL,
    id BLOB NOT NULL,
    family_id BLOB,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_expires_at ON spent (expires_at);

CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    alg TEXT NOT NULL,
    generation INTEGER NOT NULL,
    private_sealed BLOB,
    public_jwk TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    sign_from INTEGER NOT NULL,
    revoked_at INTEGER,
    UNIQUE (alg, generation)
) STRICT;

-- AUTOINCREMENT: a number is never given twice, also after the newest row was swept.
CREATE TABLE changes (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX changes_at ON changes (at);

CREATE TABLE throttles (
    key BLOB NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    first_failed_at INTEGER NOT NULL,
    last_failed_at INTEGER NOT NULL,
    blocked_until INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX throttles_expires_at ON throttles (expires_at);
