"""Numbers, lengths of time and secrets in texts for people."""
