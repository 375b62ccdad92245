"""One file a data set: its annotation files read into records."""
