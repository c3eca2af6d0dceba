-- People: their role, their language, second factors, mail that waits; what an organization looks like; how keys and apps are used.
-- `users.is_admin` goes on being written for nodes of before; `role` is what counts, and where a node of before left it empty, `is_admin` tells.
-- The twin of migrations/sqlite/2026-11-26-030000_people: same tables, columns and nullability.

ALTER TABLE users ADD COLUMN role TEXT;
ALTER TABLE users ADD COLUMN locale TEXT;
UPDATE users SET role = CASE WHEN is_admin THEN 'owner' ELSE 'member' END;
CREATE INDEX users_role ON users (role);

ALTER TABLE organizations ADD COLUMN title TEXT;
ALTER TABLE organizations ADD COLUMN colour TEXT;
ALTER TABLE organizations ADD COLUMN logo_type TEXT;
ALTER TABLE organizations ADD COLUMN logo BYTEA;
ALTER TABLE organizations ADD COLUMN second_factor TEXT;

ALTER TABLE one_time_links ADD COLUMN email TEXT;

CREATE TABLE passkeys (
    id BYTEA NOT NULL PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    credential TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX passkeys_user_id ON passkeys (user_id);

CREATE TABLE totp_secrets (
    user_id BYTEA NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    last_step BIGINT NOT NULL
);

CREATE TABLE recovery_codes (
    user_id BYTEA NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    fingerprint BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (user_id, fingerprint)
);

-- Mail on its way: whom it is for and what it says are sealed, for it holds links.
CREATE TABLE mails (
    id BYTEA NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    next_try_at BIGINT NOT NULL
);
CREATE INDEX mails_next_try_at ON mails (next_try_at);

-- How many requests an hour, of a key (`key:ID`) or an app (`client:ID`), by class and outcome.
CREATE TABLE usage_counts (
    subject TEXT NOT NULL,
    hour BIGINT NOT NULL,
    class TEXT NOT NULL,
    outcome TEXT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (subject, hour, class, outcome)
);
CREATE INDEX usage_counts_hour ON usage_counts (hour);

-- Requests that were refused lately, each by its id: what the answer did not tell.
CREATE TABLE refused_requests (
    request_id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    act TEXT NOT NULL,
    reason TEXT,
    actor TEXT NOT NULL,
    subject TEXT,
    address TEXT,
    details TEXT
);
CREATE INDEX refused_requests_at ON refused_requests (at);

CREATE INDEX api_keys_created_by ON api_keys (created_by, created_at, id);
CREATE INDEX sessions_created_at ON sessions (created_at, id);
