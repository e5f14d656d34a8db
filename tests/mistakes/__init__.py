"""Mistakes that users make, and what they are told. ``python -m tests.mistakes`` prints all of it, for reading."""
