-- Which database this is, and how many commits it has: the mark beside the file says how many were
-- acknowledged. A commit that appends to the log has its number there, and no other write for it.
ALTER TABLE shards ADD COLUMN database_id BLOB NOT NULL DEFAULT x'';
ALTER TABLE shards ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
-- A backup has no mark of its own until it is opened for writing.
ALTER TABLE shards ADD COLUMN is_copy INTEGER NOT NULL DEFAULT 0;
UPDATE shards SET database_id = randomblob(16);
ALTER TABLE journal ADD COLUMN commit_number INTEGER NOT NULL DEFAULT 0;
