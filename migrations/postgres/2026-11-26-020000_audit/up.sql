-- The audit log: one row for each act, chained by a keyed hash over the row before it. Rows are added and, when their time is over, removed
-- from the old end; none is ever changed. Where the chain begins and ends stands in `meta`, under a keyed hash as well.
-- The twin of migrations/sqlite/2026-11-26-020000_audit: same tables, columns and nullability.

CREATE TABLE audit_events (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    act TEXT NOT NULL,
    actor TEXT NOT NULL,
    subject TEXT,
    outcome TEXT NOT NULL,
    reason TEXT,
    address TEXT,
    request_id TEXT,
    details TEXT,
    times BIGINT NOT NULL,
    mac BYTEA NOT NULL
);
CREATE INDEX audit_events_act ON audit_events (act, seq);
CREATE INDEX audit_events_actor ON audit_events (actor, seq);
CREATE INDEX audit_events_subject ON audit_events (subject, seq) WHERE subject IS NOT NULL;
CREATE INDEX audit_events_at ON audit_events (at, seq);
CREATE INDEX audit_events_outcome ON audit_events (outcome, seq);
CREATE INDEX audit_events_request_id ON audit_events (request_id) WHERE request_id IS NOT NULL;
-- Until the first event is written: later a log without one was emptied.
INSERT INTO meta (key, value) VALUES ('audit.begins', 'now');

-- How a key that was found in public is dealt with, when that last happened, and which reminder of its rotation was the last.
ALTER TABLE api_keys ADD COLUMN leak_policy TEXT;
ALTER TABLE api_keys ADD COLUMN leaked_at BIGINT;
ALTER TABLE api_keys ADD COLUMN reminded_days BIGINT;
