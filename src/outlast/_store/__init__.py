"""Keeping it: the contract of stores, and the stores."""
