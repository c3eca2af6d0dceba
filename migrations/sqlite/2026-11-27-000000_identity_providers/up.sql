-- Other OpenID providers by which people may sign in, and who they are there.
-- The twin of migrations/postgres/2026-11-27-000000_identity_providers: same tables, columns and nullability.

CREATE TABLE identity_providers (
    id TEXT NOT NULL PRIMARY KEY,
    issuer TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    client_secret BLOB,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email TEXT,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE INDEX identities_user_id ON identities (user_id);
