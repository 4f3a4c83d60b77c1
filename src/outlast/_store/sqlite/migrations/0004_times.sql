-- How long a step stood in the queue, and how long its body ran, in microseconds.
ALTER TABLE journal ADD COLUMN waited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN took INTEGER NOT NULL DEFAULT 0;
