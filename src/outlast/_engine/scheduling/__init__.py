"""The runs that are in memory: how they come, what they are fed, how they go."""
