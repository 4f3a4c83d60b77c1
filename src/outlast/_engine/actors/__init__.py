"""Writing to actors, durable or in memory only."""
