"""Commands about a database."""
