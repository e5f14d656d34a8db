"""The console script."""

from __future__ import annotations

import sys

#: What the extra ``cli`` brings.
_EXTRA = "typer"


def main() -> None:
    """Run the command that ``sys.argv`` says, and exit.

    Without the extra ``cli`` it says what to install, and exits with 1.
    """
    try:
        from eventing_core.cli._app import app  # noqa: PLC0415 (an extra, which may be missing)
    except ModuleNotFoundError as error:
        if error.name != _EXTRA:
            raise
        sys.exit("eventing: the command line needs an extra: pip install 'eventing-core[cli]'")
    app(prog_name="eventing")
