"""Model cards, and how a model gets into the cache of this machine."""
