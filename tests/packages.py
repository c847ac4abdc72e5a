"""A model package with every kind of feature, made up, for the tests of scoring and of exports."""

import json
from hashlib import sha256

import numpy as np
import yaml

from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.models.bin_labels import bin_label
from fedcredit.models.scorecard_release import Scorecard, ScorecardBin, ScorecardFeature
from fedcredit.package.contents import DICTIONARY, HEAD, MODEL, FileTerms, Head, JointView, Lineage, ModelPackage
from fedcredit.package.storage import checked_package
from fedcredit.wire.canonical import canonical_json

TEXT = b"""
schema_version: 1
name: mixed
title: Every kind of feature
source: made up
licence: none needed
blocks: [applicant, bank, hospital]
institution_types:
  bank: {owns: [applicant, bank], target: {name: bad, definition: made up}, id_column: id}
  hospital: {owns: [applicant, hospital], target: {name: bad, definition: made up}, id_column: id}
features:
  - {name: age, block: applicant, type: integer, unit: years, range: [18, 80], grid: {kind: linear, cells: 12},
     missing_codes: [999], data_class: private, purpose: test, basis: test, reason: Your age}
  - {name: home, block: applicant, type: category, grid: {kind: categories, codes: {own: own, rent: rent, 3: other}},
     missing_codes: [x], data_class: private, purpose: test, basis: test, reason: Where you live}
  - {name: bill, block: bank, type: number, unit: TWD, range: [-100, 100000], atoms: [0, 12.5],
     grid: {kind: signed_log, cells: 9, unit: 10}, data_class: private, purpose: test, basis: test, reason: Your bill}
  - {name: late, block: bank, type: integer, unit: months, range: [-2, 8], grid: {kind: integers},
     missing_codes: [-9, none], data_class: private, purpose: test, basis: test, reason: Payments were late}
  - {name: same, block: bank, type: number, range: [0, 1], grid: {kind: linear, cells: 3},
     data_class: private, purpose: test, basis: test, reason: Nothing depends on it}
  - {name: paid, block: hospital, type: number, unit: TWD, range: [0, 100000], atoms: [0],
     grid: {kind: signed_log, cells: 8, unit: 10}, data_class: private, purpose: test, basis: test, reason: You paid}
  - {name: plan, block: hospital, type: category, grid: {kind: categories, codes: {0: none, 1: yes it is}},
     data_class: private, purpose: test, basis: test, reason: You have a payment plan}
"""
HALF = FileTerms(weight=512)
JOINT = JointView(files={"thin": HALF, "thick": HALF}, source="made up for tests", step=256, limit=6)


def dictionary() -> DataDictionary:
    return parse_dictionary(TEXT.replace(b"1: yes it is", b"1: 'yes it is'"))


def scorecard(contract: DataDictionary, seed: int = 0) -> Scorecard:
    """Weights and counts at random; feature `same` has one bin, and missing joins some value's bin now and then."""
    generator = np.random.default_rng(seed)
    features = []
    for feature in contract.features:
        of_cell = (
            np.sort(generator.integers(0, 5, feature.missing_cell))
            if feature.range
            else generator.integers(0, 3, feature.missing_cell)
        )
        of_cell = np.append(of_cell, generator.integers(0, 7)) if feature.name != "same" else np.zeros(feature.n_cells)
        of_cell = np.unique(of_cell, return_inverse=True)[1]
        bins = []
        for number in range(int(of_cell.max()) + 1):
            cells = tuple(np.flatnonzero(of_cell == number).tolist())
            good, bad = (round(float(v), 3) for v in generator.normal((60, 15), (20, 12)))
            weight = int(generator.integers(-1200, 1200))
            label = bin_label(feature, cells)
            bins.append(ScorecardBin(label=label, cells=cells, good=good, bad=bad, woe=0.5, iv=0.1, weight=weight))
        features.append(ScorecardFeature(name=feature.name, block=feature.block, iv=0.1, bins=tuple(bins)))
    return Scorecard(
        intercepts={kind: int(generator.integers(-2000, 0)) for kind in contract.kinds},
        views={kind: tuple(f.name for f in contract.owned_features(kind)) for kind in contract.kinds},
        features=tuple(features),
    )


def files(seed: int = 0, joint: JointView | None = JOINT, contract: DataDictionary | None = None) -> dict[str, bytes]:
    contract = contract or dictionary()
    contents = {
        MODEL: canonical_json(scorecard(contract, seed).to_json()),
        DICTIONARY: yaml.safe_dump(contract.model_dump(mode="json"), sort_keys=False).encode(),
    }
    hashes = {name: sha256(content).hexdigest() for name, content in contents.items()}
    head = Head(
        job="made-up",
        purpose="tests",
        created="2026-11-22T00:00:00+00:00",
        not_private=True,
        dictionary=contract.digest().hex(),
        files=hashes,
        lineage=Lineage(plan="a" * 64, roster="b" * 64, receipts={}, released=hashes),
        joint=joint,
    )
    return {HEAD: canonical_json(head.model_dump(mode="json")), **contents}


def repacked(contents: dict[str, bytes], model: bytes) -> dict[str, bytes]:
    """The same with another model, and hashes that hold."""
    head, name = json.loads(contents[HEAD]), sha256(model).hexdigest()
    head["files"][MODEL] = head["lineage"]["released"][MODEL] = name
    return {**contents, MODEL: model, HEAD: canonical_json(head)}


def package(seed: int = 0, joint: JointView | None = JOINT, contract: DataDictionary | None = None) -> ModelPackage:
    return checked_package(files(seed, joint, contract), "made up")


def odd_values(seed: int, n: int) -> dict[str, list[str | None]]:
    """Raw texts of every feature, n each: usual, at cuts, out of range, missing, unknown, unreadable."""
    generator = np.random.default_rng(seed)
    out: dict[str, list[str | None]] = {"id": [str(i) for i in range(n)]}
    for feature in dictionary().features:
        special: list[str | None] = [None, "", " ", "no such", *feature.missing_codes]
        if feature.range is None:
            usual = [*feature.codes, *(f" {code} " for code in feature.codes), "3.0", "+1"]
        else:
            low, high = feature.range
            numbers = [*feature.cuts, *np.nextafter(feature.cuts, -np.inf), low, high, low - 1, high + 1, 5e9, 1e-300]
            numbers += list(generator.uniform(low, high, 20))
            usual = [repr(float(x)) for x in numbers] + ["-0.0", "+7", "1e400"]
        rare = generator.random(n) < 0.15
        out[feature.name] = [
            (special if odd else usual)[int(generator.integers(len(special if odd else usual)))] for odd in rare
        ]
    return out
