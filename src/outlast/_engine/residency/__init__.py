"""What stays in memory, what leaves it, and what is no longer executed."""
