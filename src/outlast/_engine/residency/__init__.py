"""What stays in memory, what leaves it, and what nobody executes any more."""
