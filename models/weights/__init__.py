"""Readers of the original weight files; no pickle anywhere."""
