"""Commands about runs and actors."""
