-- Machines: service accounts with public keys and trust rules, the sealed secrets of client_secret_jwt, and the resources that
-- a person's grant was asked for.
-- The twin of migrations/sqlite/2026-11-25-000000_machines: same tables, columns and nullability.

CREATE TABLE organizations (
    id BYTEA NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    tier TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE service_accounts (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id BYTEA NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    policy TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    disabled_at BIGINT,
    UNIQUE (organization_id, name)
);

-- Public halves only; an ended key stays, so that its name is never used again and its tokens stay dead.
CREATE TABLE service_account_keys (
    service_account_id TEXT NOT NULL REFERENCES service_accounts (id) ON DELETE CASCADE,
    kid TEXT NOT NULL,
    alg TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT,
    PRIMARY KEY (service_account_id, kid)
);

CREATE TABLE trust_rules (
    id BYTEA NOT NULL PRIMARY KEY,
    service_account_id TEXT NOT NULL REFERENCES service_accounts (id) ON DELETE CASCADE,
    rule TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX trust_rules_service_account_id ON trust_rules (service_account_id);

ALTER TABLE client_secrets ADD COLUMN sealed BYTEA;

-- A JSON list: what RFC 8707 calls the resources of the authorization request; empty for all that the client may ask for.
ALTER TABLE families ADD COLUMN resources TEXT NOT NULL DEFAULT '[]';
