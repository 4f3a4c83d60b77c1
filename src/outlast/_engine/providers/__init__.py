"""Who may ask a provider of models next: one queue for each provider's key, over all agents."""
