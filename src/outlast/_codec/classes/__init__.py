"""Nodes of classes with named fields, and of tuples whose items have types of their own."""
