"""YAML without surprises: safe tags only, and a key may stand once.

PyYAML silently keeps the last of two equal keys, so a dictionary could say two things and mean one. Merge
keys (``<<``) still work: they fill in what a mapping leaves out.
"""

from collections.abc import Hashable
from typing import Any

import yaml

from fedcredit.errors import ConfigError

MAX_BYTES = 1_000_000
"""Longest document read; a data dictionary is some kilobytes."""


class _StrictLoader(yaml.SafeLoader):
    """A `yaml.SafeLoader` that refuses a mapping with the same key twice, and aliases that multiply without end."""

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _written_out(node, {}) > MAX_BYTES:
            raise yaml.constructor.ConstructorError(None, None, "its aliases repeat too much", node.start_mark)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node, yaml.ScalarNode):
                continue
            key = self.construct_object(key_node)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes there are where each alias is written out; a node within itself has no end."""
    if id(node) not in known:
        known[id(node)] = MAX_BYTES
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in pairs for part in pair]
        known[id(node)] = 1 + sum(_written_out(part, known) for part in parts)
    return known[id(node)]


def parse_yaml(text: bytes, what: str, error: type[ConfigError] = ConfigError) -> dict[str, Any]:
    """Read one YAML mapping.

    Parameters
    ----------
    text
        UTF-8 YAML.
    what
        Name of the document for messages, e.g. its path.
    error
        Class to raise.

    Returns
    -------
    dict
        The document's top mapping.

    Raises
    ------
    ConfigError
        (or `error`) Not YAML, a key twice, not a mapping, or longer than `MAX_BYTES`.
    """
    if len(text) > MAX_BYTES:
        raise error(f"{what} has {len(text)} bytes, more than the {MAX_BYTES} that are read; split or shorten it")
    try:
        # _StrictLoader is a SafeLoader: it builds plain values only.
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line = f" at line {mark.line + 1}" if mark else ""
        raise error(f"{what} is not valid YAML{line}: {fault.problem or fault.context}; correct that line") from None
    except RecursionError:
        raise error(f"{what} is nested too deeply; no document of ours is") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as fault:
        raise error(f"{what} is not valid YAML: {fault}; save it as UTF-8 text") from None
    if not isinstance(document, dict):
        raise error(f"{what} holds no keys at its top level; it must be a YAML mapping such as `name: …`")
    return document
