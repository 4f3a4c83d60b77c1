"""Answering questions about runs and actors, with or without an engine that runs them."""
