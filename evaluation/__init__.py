"""Accuracy against references."""
