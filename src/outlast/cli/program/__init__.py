"""Commands about a program: made, built, described."""
