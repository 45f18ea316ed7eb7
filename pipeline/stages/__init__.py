"""What happens to a frame, in order: detect, segment, track."""
