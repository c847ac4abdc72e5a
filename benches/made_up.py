"""A dictionary of made-up numeric features that one institution type owns: what several benchmarks measure with."""

from fedcredit.dictionary.schema import DataDictionary, parse_dictionary

_HEAD = """
schema_version: 1
name: bench
title: Bench
source: made up
licence: none needed
blocks: [applicant]
institution_types:
  bank: {owns: [applicant], target: {name: bad, definition: made up}, id_column: id}
features:
"""
_FEATURE = """  - {{name: f{0}, block: applicant, type: number, unit: EUR, range: [0, 1000],
     grid: {{kind: linear, cells: {1}}}, data_class: private, purpose: bench, basis: bench, reason: f{0}}}
"""


def text_of(features: int, cells: int) -> bytes:
    """The dictionary's file: features ``f0``, ``f1``, … with so many cells each, the missing one aside."""
    return (_HEAD + "".join(_FEATURE.format(number, cells) for number in range(features))).encode()


def dictionary_of(features: int, cells: int) -> DataDictionary:
    """The dictionary of that file."""
    return parse_dictionary(text_of(features, cells))
