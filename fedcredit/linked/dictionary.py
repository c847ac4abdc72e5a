"""The dictionary of a linked job: two scores, the file's thickness and the holder's own target.

It follows from the base dictionary, the released base model and public constants alone, so all institutions of a
linked job write the same one, and its hash in the plan says which model gave the scores.
"""

import re

from fedcredit.dictionary.schema import (
    CategoriesGrid,
    DataClass,
    DataDictionary,
    Feature,
    InstitutionType,
    LinearGrid,
)
from fedcredit.errors import ConfigError
from fedcredit.models.joint_layout import FEATURES, FILE, OTHER, OWN
from fedcredit.models.joint_spec import FILES

BLOCK = "linked"
ID_COLUMN = "id"
"""Of linked rows where the base dictionary names none."""

OTHER_STEP = 0.25
"""Logits between two values of an offered score: what the other institution learns of a person is one of these."""

_OWN_RANGE, _OWN_CELLS = (-6.0, 6.0), 192
_OTHER_STEPS = 16
_CLASSES: tuple[DataClass, ...] = ("public", "private", "sensitive", "sensitive-health")
_LONGEST_NAME = 63
_SOURCE = re.compile(r"dictionary [0-9a-f]{64}, model ([0-9a-f]{64})")


def linked_dictionary(base: DataDictionary, kind: str, other: str, model_hash: bytes) -> DataDictionary:
    """Derive the dictionary of linked rows that institutions of type `kind` hold.

    Parameters
    ----------
    base
        Dictionary of the base job.
    kind, other
        Whose customers are scored, and whose block is added to their view.
    model_hash
        Of the released base model that gives both scores; 32 bytes.

    Raises
    ------
    ConfigError
        If a type is unknown, or `other` has no block of its own.
    """
    blocks = added_blocks(base, kind, other)
    owner = base.institution_type(kind)
    step = OTHER_STEP
    widest = step * (_OTHER_STEPS + 0.5)
    basis = "Consent of the person to linking."
    return DataDictionary(
        schema_version=1,
        name=f"{base.name[: _LONGEST_NAME - len(kind) - 8]}_linked_{kind}",
        title=f"Linked rows of {kind} customers: own view and what the {', '.join(blocks)} block of a {other} adds",
        source=f"dictionary {base.digest().hex()}, model {model_hash.hex()}",
        licence=base.licence,
        simulation_only=base.simulation_only,
        blocks=(BLOCK,),
        institution_types={
            kind: InstitutionType(owns=(BLOCK,), target=owner.target, id_column=owner.id_column or ID_COLUMN)
        },
        features=(
            Feature(
                name=OWN,
                block=BLOCK,
                type="number",
                unit="logit",
                range=_OWN_RANGE,
                grid=LinearGrid(kind="linear", cells=_OWN_CELLS),
                monotone="increasing",
                data_class=_most_sensitive(base, owner.owns),
                purpose=f"Score of the {kind}'s own view, to be weighed against the {other}'s.",
                basis=basis,
                reason=f"Your record with this {kind}",
            ),
            Feature(
                name=OTHER,
                block=BLOCK,
                type="number",
                unit="logit",
                range=(-widest, widest),
                grid=LinearGrid(kind="linear", cells=2 * _OTHER_STEPS + 1),
                monotone="increasing",
                data_class=_most_sensitive(base, blocks),
                purpose=f"What the {other} adds to the view of a person known to both.",
                basis=basis,
                reason=f"Your record with the {other}",
            ),
            Feature(
                name=FILE,
                block=BLOCK,
                type="category",
                grid=CategoriesGrid(
                    kind="categories",
                    codes=dict(zip(FILES, ("little is known here", "enough is known here"), strict=True)),
                ),
                data_class=_most_sensitive(base, owner.owns),
                purpose=f"How much the {kind} itself knows of the person.",
                basis=basis,
                reason="Length of your record",
            ),
        ),
    )


def base_model_of(dictionary: DataDictionary) -> bytes | None:
    """Hash of the model that scored the rows of a linked dictionary, 32 bytes; None for any other dictionary."""
    found = _SOURCE.fullmatch(dictionary.source) if dictionary.feature_names == FEATURES else None
    return bytes.fromhex(found[1]) if found else None


def added_blocks(base: DataDictionary, kind: str, other: str) -> tuple[str, ...]:
    """Blocks that `other` owns and `kind` does not.

    Raises
    ------
    ConfigError
        If there is none.
    """
    mine = base.institution_type(kind).owns
    blocks = tuple(block for block in base.institution_type(other).owns if block not in mine)
    if not blocks:
        raise ConfigError(
            f"a {other} owns no block that a {kind} lacks in dictionary {base.name!r}; there is nothing to add."
        )
    return blocks


def _most_sensitive(base: DataDictionary, blocks: tuple[str, ...]) -> DataClass:
    classes = [feature.data_class for feature in base.features if feature.block in blocks]
    return max(classes, key=_CLASSES.index)
