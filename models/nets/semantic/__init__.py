"""Networks that say for each pixel whether it is a person."""
