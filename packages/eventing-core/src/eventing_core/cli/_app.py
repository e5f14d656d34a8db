"""The commands, each with its own options; what they do is in modules of their own, which know no command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eventing_core.cli._skeleton import SkeletonError, write_skeleton

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

#: The input is wrong: the same as for options that a command doesn't know.
_WRONG_INPUT = 2


@app.callback()
def eventing() -> None:
    """Typed events between Python services, over the message broker that you already run."""


@app.command()
def new_provider(
    name: Annotated[
        str, typer.Argument(help="The name of the provider in the configuration: lower-case letters and digits.")
    ],
    directory: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
) -> None:
    """Write the skeleton of a transport: the distribution eventing-NAME, whose conformance kit runs at once."""
    try:
        folder = write_skeleton(name, directory)
    except SkeletonError as error:
        typer.echo(f"eventing: {error}", err=True)
        raise typer.Exit(_WRONG_INPUT) from None
    typer.echo(f"wrote {folder}. Its conformance kit lists what remains to be written:\n")
    typer.echo(f"    cd {folder} && pip install -e '.[test]' && pytest")
