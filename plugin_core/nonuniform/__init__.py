"""The search for the locally best cutoff."""
