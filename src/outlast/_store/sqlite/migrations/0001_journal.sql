-- The tables of a store. `runs` and the tables that name a run are a run's own: deleted with it.

-- Who writes, under which epoch, and where the log, the mailboxes and the commits stand. One row:
-- a SQLite store has one shard. The counters are kept here so that they survive an emptied log.
CREATE TABLE shards (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    message INTEGER NOT NULL,
    commit_owner TEXT NOT NULL,
    commit_number INTEGER NOT NULL
) STRICT;
INSERT INTO shards VALUES (0, '', 0, 0, 0, '', 0);

CREATE TABLE runs (
    id TEXT NOT NULL UNIQUE,
    shard INTEGER NOT NULL,
    workflow TEXT NOT NULL,
    version TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    closed_at INTEGER,
    wake_at INTEGER,
    timeout_at INTEGER,
    parent TEXT,
    parent_key TEXT NOT NULL,
    on_parent_close TEXT NOT NULL,
    attributes TEXT NOT NULL,
    steps INTEGER NOT NULL,
    crash_count INTEGER NOT NULL,
    is_alone INTEGER NOT NULL,
    parked_as TEXT NOT NULL,
    resident INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    packed_seq INTEGER NOT NULL,
    started_position INTEGER NOT NULL,
    request TEXT NOT NULL,
    digest BLOB NOT NULL,
    output BLOB,
    error TEXT,
    waiting_for TEXT NOT NULL
) STRICT;
-- Listings page by (created_at, id).
CREATE INDEX runs_by_age ON runs (created_at, id);
CREATE INDEX runs_by_parent ON runs (parent, created_at, id) WHERE parent IS NOT NULL;
-- Partial, so that they stay as small as what they look for.
CREATE INDEX runs_resident ON runs (created_at)
    WHERE resident AND status IN ('pending', 'running', 'waiting', 'paused', 'parked');
CREATE INDEX runs_waking ON runs (wake_at)
    WHERE NOT resident AND wake_at IS NOT NULL
    AND status IN ('pending', 'running', 'waiting', 'paused', 'parked');

-- The log's tail, append-only: an integer key keeps every insert at the end of the tree.
CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    place TEXT NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- Records that have left the tail, packed.
CREATE TABLE histories (
    run TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE INDEX histories_by_run ON histories (run, last_seq);

CREATE TABLE mailbox (
    number INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    dedup TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX mailbox_by_run ON mailbox (run);
CREATE INDEX mailbox_by_dedup ON mailbox (run, dedup) WHERE dedup <> '';

-- Messages whose run ended before it took them.
CREATE TABLE undelivered (
    number INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    dedup TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX undelivered_by_run ON undelivered (run);

CREATE TABLE streams (
    run TEXT NOT NULL,
    name TEXT NOT NULL,
    "offset" INTEGER NOT NULL,
    "count" INTEGER NOT NULL,
    kind TEXT NOT NULL,
    writer TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX streams_by_offset ON streams (run, name, "offset");

CREATE TABLE run_values (
    run TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;

-- Large bodies by the hash of their bytes, and the runs whose records point to them.
CREATE TABLE blobs (
    digest BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE blob_refs (
    run TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (run, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_refs_by_digest ON blob_refs (digest);
