"""What callers ask of an engine: starts, messages, forks, updates, answers."""
