"""A run in memory, from its start or its journal to its end."""
