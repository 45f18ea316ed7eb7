"""The body surface: its parts, the look-ups on it, and the body that is posed and rendered."""
