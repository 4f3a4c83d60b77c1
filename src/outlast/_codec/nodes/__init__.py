"""Nodes: the codecs of the parts of a declared type that are not classes with fields."""
