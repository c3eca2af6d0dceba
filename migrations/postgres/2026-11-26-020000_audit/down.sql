ALTER TABLE api_keys DROP COLUMN reminded_days;
ALTER TABLE api_keys DROP COLUMN leaked_at;
ALTER TABLE api_keys DROP COLUMN leak_policy;
DROP TABLE audit_events;
DELETE FROM meta WHERE key IN ('audit.begins', 'audit.head', 'audit.tail');
