"""What stored bodies pass through: keys, layers, and the envelope that a body lies in."""
