"""The bodies of steps at work: on the host loop, on threads, in worker processes."""
