"""The store in memory: the model that other stores are held to."""
