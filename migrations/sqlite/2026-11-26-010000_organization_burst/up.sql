-- What an organization of the enterprise tier has on top of each limit; the setting's number where it has none of its own.
-- The twin of migrations/postgres/2026-11-26-010000_organization_burst: same tables, columns and nullability.

ALTER TABLE organizations ADD COLUMN burst INTEGER;
