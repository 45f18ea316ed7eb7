"""Networks: where weights come from, how they are run, and what their numbers mean."""
