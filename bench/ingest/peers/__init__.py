"""Other software that does the same job, run by its usual recipe."""
