"""Action classes of one's own, from a folder of clips."""
