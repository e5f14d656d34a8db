"""The machine that decides what becomes of deliveries: explored, walked through, and mutated."""
