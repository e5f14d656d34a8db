"""The way in: what becomes of a delivery."""
