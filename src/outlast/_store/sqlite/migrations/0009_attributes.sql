-- Runs by what their attributes say, newest first: an index that SQLite cannot make of JSON.
-- `value` is the text that a query compares: of what is no text, as it stands in the JSON.
CREATE TABLE run_attributes (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    at INTEGER NOT NULL,
    run TEXT NOT NULL,
    PRIMARY KEY (name, value, at, run)
) STRICT, WITHOUT ROWID;
-- What should be in it. Damage can make JSON invalid.
CREATE VIEW attributes_of_runs (name, value, at, run) AS
SELECT a.key, iif(a.type = 'text', a.value, r.attributes -> a.fullkey), r.created_at, r.id
FROM runs AS r, json_each(iif(json_valid(r.attributes), r.attributes, '{}')) AS a
WHERE a.type <> 'null';
INSERT OR IGNORE INTO run_attributes SELECT * FROM attributes_of_runs;
-- Runs without attributes pay for a comparison.
CREATE TRIGGER attributes_of_new AFTER INSERT ON runs WHEN new.attributes <> '{}' BEGIN
    INSERT OR IGNORE INTO run_attributes SELECT * FROM attributes_of_runs WHERE run = new.id;
END;
CREATE TRIGGER attributes_before BEFORE UPDATE OF attributes ON runs
WHEN old.attributes <> new.attributes BEGIN
    DELETE FROM run_attributes WHERE (name, value, at, run) IN
        (SELECT * FROM attributes_of_runs WHERE run = old.id);
END;
CREATE TRIGGER attributes_after AFTER UPDATE OF attributes ON runs
WHEN old.attributes <> new.attributes BEGIN
    INSERT OR IGNORE INTO run_attributes SELECT * FROM attributes_of_runs WHERE run = new.id;
END;
CREATE TRIGGER attributes_of_old BEFORE DELETE ON runs WHEN old.attributes <> '{}' BEGIN
    DELETE FROM run_attributes WHERE (name, value, at, run) IN
        (SELECT * FROM attributes_of_runs WHERE run = old.id);
END;
