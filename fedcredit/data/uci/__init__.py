"""UCI "Default of Credit Card Clients", packaged: 30,000 real records with their data dictionary.

References
----------
I-Cheng Yeh and Che-hui Lien, "The comparisons of data mining techniques for the predictive accuracy of
probability of default of credit card clients", Expert Systems with Applications 36(2), 2009. Data: doi
10.24432/C55S3H, CC BY 4.0; see NOTICE.
"""

from importlib.resources import files
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

from fedcredit.dictionary.schema import CategoriesGrid, DataDictionary, parse_dictionary


def load_uci() -> pa.Table:
    """Read the packaged table: 30,000 rows in the original order, 25 columns with ``id`` and ``default``."""
    return pq.ParquetFile(BytesIO(files(__name__).joinpath("uci_credit.parquet").read_bytes())).read()


def uci_dictionary(*, flat: bool = False) -> DataDictionary:
    """Read the packaged data dictionary.

    Parameters
    ----------
    flat
        False: banks own the blocks applicant and bank, hospitals applicant and hospital. True: both types own
        all three.
    """
    dictionary = parse_dictionary(files(__name__).joinpath("uci_credit.yaml").read_bytes(), "uci_credit.yaml")
    return every_type_owns_all(dictionary) if flat else dictionary


def as_groups(dictionary: DataDictionary, names: tuple[str, ...]) -> DataDictionary:
    """Return the dictionary with some of its categories as group labels instead of features, named ``…_groups``.

    Parameters
    ----------
    names
        Features of type category; held by whoever owned their block.
    """
    moved = [feature for feature in dictionary.features if feature.name in names]
    groups = [
        {
            "name": feature.name,
            "data_class": "sensitive",
            "purpose": "bias-examination",
            "codes": feature.grid.codes if isinstance(feature.grid, CategoriesGrid) else {},
            "missing_codes": feature.missing_codes,
            "owners": [kind for kind, held in dictionary.institution_types.items() if feature.block in held.owns],
            "basis": feature.basis,
            "reason": f"{feature.reason}: held to see whether the score treats groups alike, never scored",
        }
        for feature in moved
    ]
    features = [feature for feature in dictionary.features if feature not in moved]
    name = f"{dictionary.name}_groups"
    return dictionary.model_validate(
        dictionary.model_dump() | {"name": name, "features": [f.model_dump() for f in features], "groups": groups}
    )


def every_type_owns_all(dictionary: DataDictionary) -> DataDictionary:
    """Return the dictionary with every block owned by every institution type, named ``…_flat``."""
    types = {kind: t.model_copy(update={"owns": dictionary.blocks}) for kind, t in dictionary.institution_types.items()}
    return dictionary.model_validate(
        dictionary.model_dump() | {"name": f"{dictionary.name}_flat", "institution_types": types}
    )
