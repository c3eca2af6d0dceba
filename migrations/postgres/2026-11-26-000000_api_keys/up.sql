-- API keys: a record with at most two live secrets. No row holds a secret: a keyed hash under a pepper, and the last characters for people.
-- The twin of migrations/sqlite/2026-11-26-000000_api_keys: same tables, columns and nullability.

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id BYTEA NOT NULL REFERENCES organizations (id),
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    created_by TEXT NOT NULL,
    scopes TEXT NOT NULL,
    allow_ips TEXT NOT NULL,
    deny_ips TEXT NOT NULL,
    limits TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    not_before BIGINT,
    expires_at BIGINT,
    disabled_at BIGINT,
    revoked_at BIGINT,
    revoked_reason TEXT,
    rotation_due_at BIGINT,
    last_used_at BIGINT,
    last_used_address TEXT,
    last_used_resource TEXT
);
CREATE INDEX api_keys_created_at ON api_keys (created_at, id);
CREATE INDEX api_keys_organization_id ON api_keys (organization_id);
CREATE INDEX api_keys_rotation_due_at ON api_keys (rotation_due_at) WHERE rotation_due_at IS NOT NULL;

CREATE TABLE api_key_secrets (
    fingerprint BYTEA NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    pepper INTEGER NOT NULL,
    tail TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX api_key_secrets_key_id ON api_key_secrets (key_id);
CREATE INDEX api_key_secrets_expires_at ON api_key_secrets (expires_at) WHERE expires_at IS NOT NULL;
