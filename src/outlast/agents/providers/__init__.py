"""One queue for each provider of models, over all agents of an engine."""
