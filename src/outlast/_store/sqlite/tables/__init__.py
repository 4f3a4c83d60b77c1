"""The tables of a database: schema, rows, what a batch writes, what readers ask."""
