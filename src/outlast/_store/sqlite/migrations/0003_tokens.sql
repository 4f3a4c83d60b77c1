-- Questions that runs have asked of the outside, and the one answer that each of them got.
CREATE TABLE tokens (
    id TEXT NOT NULL UNIQUE,
    run TEXT NOT NULL,
    workflow TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    detail TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    status TEXT NOT NULL,
    value BLOB,
    "by" TEXT NOT NULL,
    reason TEXT NOT NULL,
    answered_at INTEGER
) STRICT;
CREATE INDEX tokens_by_run ON tokens (run);
CREATE INDEX tokens_by_age ON tokens (created_at, id);
-- Partial: the inbox is as small as what waits in it.
CREATE INDEX tokens_open ON tokens (created_at, id) WHERE status = 'open';
