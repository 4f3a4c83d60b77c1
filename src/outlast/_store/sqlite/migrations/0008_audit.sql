-- Who did what from outside: a row is written in the transaction of what was done.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    caller TEXT NOT NULL,
    role TEXT NOT NULL,
    via TEXT NOT NULL,
    verb TEXT NOT NULL,
    target TEXT NOT NULL,
    run TEXT NOT NULL,
    reason TEXT NOT NULL,
    outcome TEXT NOT NULL,
    is_traffic INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_by_run ON audit (run, number);
CREATE INDEX audit_by_caller ON audit (caller, number);
CREATE INDEX audit_by_age ON audit (is_traffic, at);
