"""Who may ask, how much at once, and what becomes of slow and greedy clients."""
