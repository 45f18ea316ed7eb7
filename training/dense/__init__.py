"""The training of dense-s: people rendered and disturbed, its loss, what it is judged by."""
