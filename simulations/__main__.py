"""``python -m simulations``: the command of `simulations.command`, started quickly.

Nothing that is imported is garbage, and to look for some takes a fifth of the time until a job begins. What is there
after the imports stays as long as the process, and is never looked through again.
"""

import gc
import sys
from importlib import import_module

from fedcredit.ending import run


def main() -> None:
    """Import everything, then run what the command line asks for."""
    try:
        run(_main)
    except KeyboardInterrupt:
        sys.exit("interrupted.")


def _main() -> None:
    gc.disable()
    command = import_module("simulations.command")
    gc.freeze()
    gc.enable()
    command.main()


if __name__ == "__main__":
    main()
