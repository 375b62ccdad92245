"""Weights of the original project: its Keras files, its networks, what was published."""
