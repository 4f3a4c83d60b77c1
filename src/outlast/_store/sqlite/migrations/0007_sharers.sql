-- The last commit of each process that writes through the owner of the database, and what became
-- of it: the owner may die between the commit and its reply.
CREATE TABLE sharers (
    owner TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    results BLOB NOT NULL,
    at INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
