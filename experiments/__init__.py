"""What made a table or a sheet in docs/: run from the repository's root, not installed."""
