"""The training of classifiers."""
