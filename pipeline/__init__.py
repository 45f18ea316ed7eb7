"""Frames in, results out: sources, stages, sinks, and the clock."""
