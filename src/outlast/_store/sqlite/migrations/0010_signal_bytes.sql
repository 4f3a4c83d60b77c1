-- How many bytes of signals wait for a run, summed from the index alone: it covers the query, which
-- a partial index (WHERE kind = 'signal') does not.
CREATE INDEX mailbox_bytes ON mailbox (run, kind, length(body));
