"""The groups of a grouping in words, in the order of the released histogram."""

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.models.bin_labels import bin_label

BY_TYPE = "type"
"""The grouping that every plan begins with: one group per institution type."""


def group_labels(dictionary: DataDictionary, grouping: str) -> tuple[str, ...]:
    """Name each group: an institution type, or the values of a feature's grid cell.

    Raises
    ------
    ConfigError
        If the grouping names neither ``type`` nor a feature.
    """
    if grouping == BY_TYPE:
        return dictionary.kinds
    found = {feature.name: feature for feature in dictionary.features}.get(grouping)
    if found is None:
        raise ConfigError(f"grouping {grouping!r} is no feature of dictionary {dictionary.name!r}; use the plan's own.")
    return tuple(bin_label(found, (cell,)) for cell in range(found.n_cells))
