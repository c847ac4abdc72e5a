import numpy as np
import pytest
import yaml

from fedcredit.data.quantise import quantise_table
from fedcredit.data.uci import load_uci, uci_dictionary
from fedcredit.dictionary.mapping import identity_mapping, mapping_problems, parse_mapping
from fedcredit.errors import DictionaryError
from fedcredit.provisioning.mapping_draft import draft_mapping


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_a_draft_maps_every_column_by_its_own_name(kind):
    dictionary, table = uci_dictionary(), load_uci().slice(0, 500)
    drafted = parse_mapping(draft_mapping(dictionary, kind).encode())
    assert mapping_problems(drafted, dictionary, kind) == []
    assert drafted == identity_mapping(dictionary, kind)
    cells = [
        quantise_table(dictionary, kind, one, table).cells for one in (drafted, identity_mapping(dictionary, kind))
    ]
    assert np.array_equal(*cells)


def test_what_a_column_must_hold_stands_beside_it():
    text = draft_mapping(uci_dictionary(), "bank")
    assert "# 1 male, 2 female" in text
    assert "# integer, TWD, 10000 to 1000000" in text
    assert uci_dictionary().institution_type("bank").target.definition in text


def test_a_name_with_quotes_stays_one_value():
    dictionary = uci_dictionary()
    odd = dictionary.institution_types["bank"].model_copy(update={"id_column": 'a"b: #c'})
    types = {**dictionary.institution_types, "bank": odd}
    text = draft_mapping(dictionary.model_copy(update={"institution_types": types}), "bank")
    assert yaml.safe_load(text)["id_column"] == 'a"b: #c'


def test_another_type_is_refused():
    with pytest.raises(DictionaryError, match="no institution type 'shop'"):
        draft_mapping(uci_dictionary(), "shop")
