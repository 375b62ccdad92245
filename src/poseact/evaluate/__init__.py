"""Metrics, and the published protocols that use them."""
