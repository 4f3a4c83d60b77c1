"""What goes over the wire: bodies, answers, problems."""
