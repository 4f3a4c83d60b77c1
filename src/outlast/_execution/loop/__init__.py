"""The deterministic event loop of a run, and what keeps its code repeatable."""
