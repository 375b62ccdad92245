"""The networks, one file each in the order of its paper; their layers; their weights files."""
