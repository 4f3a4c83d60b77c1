"""Words for people, and of people: numbers, lengths of time, names, source lines, secrets."""
