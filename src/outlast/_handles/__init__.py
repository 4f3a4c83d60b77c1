"""What users hold: calls, runs, actors, tokens, and the verbs of an engine for many of them."""
