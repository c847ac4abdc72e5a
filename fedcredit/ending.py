"""How every command ends: an error is a sentence on standard error and exit code 1.

A traceback means a defect of ours.
"""

import errno
import os
import sys
from collections.abc import Callable

import typer

from fedcredit.errors import CheckError, FedcreditError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(command: Callable[[], object]) -> None:
    """Run a command line; exit with 1 on any error of our own, and where the system refuses a file.

    Parameters
    ----------
    command
        Reads the arguments itself, as a ``typer.Typer`` does.
    """
    try:
        command()
    except BrokenPipeError:  # whoever read what it prints has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        sys.exit(1)
    except CheckError as error:
        _end(*(f"problem: {problem}" for problem in error.problems))
    except FedcreditError as error:
        _end(f"error: {error}")
    except OSError as error:
        _end(f"error: {_in_words(error)}")


def _end(*lines: str) -> None:
    for line in lines:
        typer.echo(line, err=True)
    sys.exit(1)


def _in_words(error: OSError) -> str:
    place = error.filename or "a file or the standard output"
    if isinstance(error, PermissionError):
        return f"{place} cannot be read or written; check its owner and mode."
    if error.errno in _FULL:
        return f"{place} cannot be written, because the disk is full; make room, and run the command again."
    return f"{place} cannot be used ({error.strerror or error}); check the path, and run the command again."
