"""The training of lift-s: people placed before cameras, the landmark net's errors, what it is judged by."""
