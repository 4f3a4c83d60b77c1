-- The keys under which bodies may lie here; without a row, bodies lie as they are. A key itself is
-- never stored: `body` is a known text, encrypted under it, that says whether a given key is right.
CREATE TABLE codec_keys (
    key TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
