import pytest

from fedcredit.dictionary.schema import DataDictionary, parse_dictionary

SMALL = """
schema_version: 1
name: small
title: A small table
source: made up
licence: none
blocks: [applicant, bank, hospital]
institution_types:
  bank: {owns: [applicant, bank], target: &bad {name: bad, definition: late, window_months: 12}, id_column: id}
  hospital: {owns: [applicant, hospital], target: *bad}
features:
  - &form
    name: income
    block: applicant
    type: number
    unit: EUR
    range: [0, 1000]
    missing_codes: [-9]
    grid: {kind: linear, cells: 10}
    atoms: [0]
    data_class: private
    purpose: ability to pay
    basis: consent
    reason: Income
  - <<: *form
    name: delay
    block: bank
    type: integer
    unit: months
    range: [0, 5]
    grid: {kind: integers}
    atoms: []
    monotone: increasing
  - name: sector
    block: hospital
    type: category
    grid: {kind: categories, codes: {1: farm, 2: shop, other: other}}
    missing_codes: [x]
    data_class: public
    purpose: test
    basis: consent
    reason: Sector
"""


@pytest.fixture
def small_text() -> str:
    return SMALL


@pytest.fixture
def small() -> DataDictionary:
    return parse_dictionary(SMALL.encode())


@pytest.fixture(scope="session")
def small_dictionary() -> DataDictionary:
    """Like `small`, once for all examples of a property test."""
    return parse_dictionary(SMALL.encode())
