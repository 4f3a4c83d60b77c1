"""The files of a database: its lock, its log, its mark, and what becomes of them."""
