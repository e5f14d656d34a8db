"""The benchmark's quick form, as a test."""
