ALTER TABLE families DROP COLUMN resources;
ALTER TABLE client_secrets DROP COLUMN sealed;
DROP TABLE trust_rules;
DROP TABLE service_account_keys;
DROP TABLE service_accounts;
DROP TABLE organizations;
