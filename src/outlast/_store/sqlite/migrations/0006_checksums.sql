-- Every row carries a checksum over what it decides by; `sqlite_seal` fills them in, in the same
-- transaction. A row of `runs` has two: what its start fixed, and what a summary may change.
ALTER TABLE shards ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN fixed_checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mailbox ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run_values ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blob_refs ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
