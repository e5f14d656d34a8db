"""The fault suite: what is promised, under kills, cuts, load and bad input. ``python -m tests.faults`` runs it in full.

Each part is a module with a function ``run(terms) -> Figures``. It raises `AssertionError` when a promise is broken.
"""
