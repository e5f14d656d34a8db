"""What sending and receiving run on: threads, event loop, signals, fork and exit, health, and log words.

Private. Imports from the core only `provider` and `errors`.
"""

__all__: list[str] = []
