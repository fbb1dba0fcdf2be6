"""A mind that thinks in parallel."""
