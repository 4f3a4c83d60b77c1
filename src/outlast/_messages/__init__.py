"""What runs and actors are sent, as it is written and stored."""
