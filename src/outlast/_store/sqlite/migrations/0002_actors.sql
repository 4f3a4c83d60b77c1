-- Actors are rows of `runs`: their state is the row's output, their records count from `folded_seq`.
ALTER TABLE runs ADD COLUMN kind TEXT NOT NULL DEFAULT 'workflow';
ALTER TABLE runs ADD COLUMN folded_seq INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_of_actors ON runs (created_at, id) WHERE kind = 'actor';
ALTER TABLE mailbox ADD COLUMN bound INTEGER NOT NULL DEFAULT 0;

-- Messages that nobody will take any more, and why: kept to be looked at and sent again.
CREATE TABLE dead_letters (
    number INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    dedup TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_letters_by_run ON dead_letters (run, number);
INSERT INTO dead_letters SELECT number, run, kind, name, body, dedup, at, 'closed', '', 0, at
    FROM undelivered;
DROP TABLE undelivered;
