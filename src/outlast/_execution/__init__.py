"""One run: its code on a loop of its own, fed by its journal."""
