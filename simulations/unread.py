"""Keys that are fine by themselves and that nothing would read, given the others.

Whoever sets ``data.path`` and forgets ``data=file`` would get figures of the packaged table, and a sweep over
``federation.alpha`` without ``federation.split=dirichlet`` a flat curve over α. Both are mistakes and say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedcredit.errors import ConfigError
from simulations.virtual_clock import NetworkSpec

if TYPE_CHECKING:
    from simulations.config_tree import ConfigTree

_ALPHA = 1.0


def require_read(tree: ConfigTree) -> None:
    """Refuse a key that is set and would change nothing.

    Raises
    ------
    ConfigError
        With the first such key, and what it is for.
    """
    for key, value, is_for in _unread(tree):
        raise ConfigError(
            f"{key}={value} is for {is_for}, and nothing would read it here; set that, or remove the key."
        )


def _unread(tree: ConfigTree) -> list[tuple[str, object, str]]:
    data, federation = tree.data, tree.federation
    rules = [
        *(
            (f"data.{key}", getattr(data, key), data.source == "file", None, "data=file")
            for key in ("path", "dictionary", "mapping")
        ),
        ("data.population", data.population, data.source == "synthetic", None, "data=synthetic"),
        ("data.later_months", data.later_months, data.source == "synthetic", 0, "data=synthetic"),
        ("federation.split", federation.split, data.source != "synthetic", "iid", "a table, not for data=synthetic"),
        ("federation.alpha", federation.alpha, federation.split == "dirichlet", _ALPHA, "federation.split=dirichlet"),
        ("federation.split_column", federation.split_column, federation.split == "column", None,
         "federation.split=column"),
        ("linked.customers", tree.linked.customers, tree.linked.percent > 0, None, "linked=rows"),
        *(
            (f"network.{key}", value, tree.runtime == "cohort", getattr(NetworkSpec(), key), "runtime=cohort")
            for key, value in tree.network.model_dump().items()
        ),
        ("events.poison_factor", tree.events.poison_factor, tree.events.poisoner > 0, -1, "events.poisoner above 0"),
        ("sweep.address", tree.sweep.address, tree.sweep.launcher == "ray", None, "sweep.launcher=ray"),
    ]  # fmt: skip
    return [(key, value, is_for) for key, value, is_read, default, is_for in rules if not is_read and value != default]
