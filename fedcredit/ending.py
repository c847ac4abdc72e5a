"""How every command ends: an error is a sentence on standard error and exit code 1.

A traceback means a defect of ours.
"""

import errno
import os
import sys
from collections.abc import Callable

from fedcredit.errors import CheckError, FedcreditError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_EXTRA_OF = {
    "flwr": "flower",
    "hydra": "sim",
    "jinja2": "report",
    "matplotlib": "report",
    "numba": "fast",
    "onnx": "export",
    "opacus": "neural",
    "ray": "ray",
    "safetensors": "neural",
    "sklearn": "sim",
    "torch": "neural",
}
"""Which extra brings a package that only some commands need."""


def run(command: Callable[[], object]) -> None:
    """Run a command line; exit with 1 on an error of our own, where the system refuses a file, or without an extra.

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
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA_OF:
            raise
        _end(f"error: this needs {package}, which is not installed; run: pip install 'fedcredit[{_EXTRA_OF[package]}]'")


def _end(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(1)


def _in_words(error: OSError) -> str:
    place = error.filename or "a file or the standard output"
    if isinstance(error, PermissionError):
        return f"{place} cannot be read or written; check its owner and mode."
    if error.errno in _FULL:
        return f"{place} cannot be written, because the disk is full; make room, and run the command again."
    return f"{place} cannot be used ({error.strerror or error}); check the path, and run the command again."
