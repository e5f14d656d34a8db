"""Measurements, each against the same thing written by hand on the raw client, in the same run.

No figure holds on another machine; ratios do, more or less.
"""
