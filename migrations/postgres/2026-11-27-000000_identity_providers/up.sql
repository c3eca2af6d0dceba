-- Other OpenID providers by which people may sign in, and who they are there.
-- The twin of migrations/sqlite/2026-11-27-000000_identity_providers: same tables, columns and nullability.

CREATE TABLE identity_providers (
    id TEXT NOT NULL PRIMARY KEY,
    issuer TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    client_secret BYTEA,
    created_at BIGINT NOT NULL
);

CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id BYTEA NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email TEXT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user_id ON identities (user_id);
