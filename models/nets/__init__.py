"""The networks as torch modules; nothing here is imported by a run with a warm cache."""
