"""What users declare: events, listeners, pipelines and retries, with the checks of each declaration.

Private: the public names are in `eventing_core`. Imports from the core only `eventing_core.errors`.
"""

__all__: list[str] = []
