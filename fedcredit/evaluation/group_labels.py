"""The groups of a grouping in words, in the order of the released histogram."""

from itertools import product

from fedcredit.dictionary.schema import DataDictionary, Feature, Group
from fedcredit.evaluation.phase import label_called, labels_of
from fedcredit.models.bin_labels import bin_label

BY_TYPE = "type"
"""The grouping that every plan begins with: one group per institution type."""


def group_labels(dictionary: DataDictionary, grouping: str) -> tuple[str, ...]:
    """Name each group: an institution type, the values of a feature's grid cell, a group label, or a pair of these.

    Raises
    ------
    ConfigError
        If the grouping names neither ``type`` nor a feature nor a group.
    """
    if grouping == BY_TYPE:
        return dictionary.kinds
    words = (_words(label_called(dictionary, name)) for name in labels_of(grouping))
    return tuple(" / ".join(parts) for parts in product(*words))


def stated(dictionary: DataDictionary, grouping: str) -> tuple[bool, ...]:
    """Whether each group is one of records whose labels are known; types always are."""
    if grouping == BY_TYPE:
        return (True,) * len(dictionary.kinds)
    sizes = [label_called(dictionary, name).n_cells for name in labels_of(grouping)]
    return tuple(all(parts) for parts in product(*([True] * (size - 1) + [False] for size in sizes)))


def _words(label: Feature | Group) -> tuple[str, ...]:
    if isinstance(label, Group):
        return (*label.codes.values(), "missing")
    return tuple(bin_label(label, (cell,)) for cell in range(label.n_cells))
