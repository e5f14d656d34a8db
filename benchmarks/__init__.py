"""Measurements: ratios against Proton's documented way, in the same run. No figure holds on another machine."""
