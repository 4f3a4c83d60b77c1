"""What a run asks of the world: steps, children, timers, tokens, signals, updates, streams."""
