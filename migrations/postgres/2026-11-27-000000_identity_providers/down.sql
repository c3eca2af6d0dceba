DROP TABLE identities;
DROP TABLE identity_providers;
