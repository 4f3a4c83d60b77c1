"""What an agent says, in the protocols that web pages speak."""
