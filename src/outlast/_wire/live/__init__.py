"""Answers that do not end: streams of runs, the feed of changes, figures."""
