-- Machines: service accounts with public keys and trust rules, the sealed secrets of client_secret_jwt, and the resources that
-- a person's grant was asked for.
-- The twin of migrations/postgres/2026-11-25-000000_machines: same tables, columns and nullability.

CREATE TABLE organizations (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    tier TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE service_accounts (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id BLOB NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    policy TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    disabled_at INTEGER,
    UNIQUE (organization_id, name)
) STRICT;

-- Public halves only; an ended key stays, so that its name is never used again and its tokens stay dead.
CREATE TABLE service_account_keys (
    service_account_id TEXT NOT NULL REFERENCES service_accounts (id) ON DELETE CASCADE,
    kid TEXT NOT NULL,
    alg TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER,
    PRIMARY KEY (service_account_id, kid)
) STRICT, WITHOUT ROWID;

CREATE TABLE trust_rules (
    id BLOB NOT NULL PRIMARY KEY,
    service_account_id TEXT NOT NULL REFERENCES service_accounts (id) ON DELETE CASCADE,
    rule TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX trust_rules_service_account_id ON trust_rules (service_account_id);

ALTER TABLE client_secrets ADD COLUMN sealed BLOB;

-- A JSON list: what RFC 8707 calls the resources of the authorization request; empty for all that the client may ask for.
ALTER TABLE families ADD COLUMN resources TEXT NOT NULL DEFAULT '[]';
