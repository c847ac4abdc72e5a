"""``python -m clients``: the node user's two commands."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.ending import run as run_command

File = Annotated[Path, typer.Argument(metavar="NODE.yaml", help="The institution's NODE.yaml.")]

app = typer.Typer(
    help="The node user's side of an institution: carries messages, holds no record.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def serve(path: File) -> None:
    """Keep the SuperNode and the site runner running; both log to NODE.yaml's state folder."""
    from clients.node import serve  # noqa: PLC0415  the runner does without it

    serve(path)


@app.command()
def run(path: File) -> None:
    """Answer the SuperNode's messages; 'serve' starts this by itself."""
    from clients.site_runner import run  # noqa: PLC0415  the supervisor does without Flower

    run(path)


def main() -> None:
    """Run the command line; exit with 1 on any error of our own."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    run_command(app)


if __name__ == "__main__":
    main()
