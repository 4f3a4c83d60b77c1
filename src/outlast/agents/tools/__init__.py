"""Tools of agents: what they do to the outside world, and who must approve their calls."""
