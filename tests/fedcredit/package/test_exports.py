"""Exports run in their own runtimes and give our own scores, to the integer."""

import csv
import io
import math
import sqlite3

import duckdb
import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest

from fedcredit.dictionary.mapping import ColumnMapping, identity_mapping
from fedcredit.errors import ConfigError, DictionaryError
from fedcredit.models.points import BASE
from fedcredit.package import onnx_graph
from fedcredit.package.onnx_graph import onnx_model
from fedcredit.package.points_csv import COLUMNS, points_csv
from fedcredit.package.sql_case import sql_query
from fedcredit.scoring.card import card_of
from fedcredit.scoring.kernel import TableScorer
from fedcredit.scoring.reading import read_columns, reading_of
from tests import packages

ROWS = 400


@pytest.fixture(params=[(0, "bank"), (1, "hospital"), (2, "bank")], ids=lambda p: f"{p[1]}-{p[0]}")
def model(request):
    seed, view = request.param
    return packages.package(seed), view


def raw(package, view, seed=5):
    """Numbers at and around every cut, missing ones, missing codes; codes known and unknown."""
    generator, out = np.random.default_rng(seed), {}
    for feature in package.dictionary.owned_features(view):
        if feature.range is None:
            out[feature.name] = [None, "who knows", *feature.missing_codes, *feature.codes]
        else:
            low, high = feature.range
            cuts = feature.cuts
            near = [*cuts, *np.nextafter(cuts, -np.inf), *np.nextafter(cuts, np.inf), low, high, low - 7, high * 3]
            coded = [float(code) for code in feature.missing_codes if code.lstrip("-").isdigit()]
            out[feature.name] = [None, 0.0, -0.0, 5e-324, -5e-324, *coded, *map(float, near)]
    return {
        name: [values[i] for i in generator.integers(0, len(values), ROWS).tolist()] for name, values in out.items()
    }


def own_scores(package, view, values):
    table = pa.table(values)
    columns, _ = read_columns(reading_of(card_of(package, view), None, table.column_names), table)
    return TableScorer(card_of(package, view)).score(columns, ROWS)


def test_onnx_gives_our_scores(model):
    package, view = model
    values = raw(package, view)
    graph = onnx_model(package, view)
    props = {entry.key: entry.value for entry in onnx.load_from_string(graph).metadata_props}
    assert props["package_hash"] == package.digest
    inputs = {}
    for feature in package.dictionary.owned_features(view):
        column = values[feature.name]
        if feature.range is None:
            known = {code: place for place, code in enumerate(feature.codes)}
            inputs[feature.name] = np.array([known.get(code, -1) for code in column], dtype=np.int64)
        else:
            inputs[feature.name] = np.array([math.nan if x is None else x for x in column])
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    margin, points, pd = session.run(["margin", "points", "pd"], inputs)
    own = own_scores(package, view, values)
    np.testing.assert_array_equal(margin, own.margins)
    np.testing.assert_array_equal(points, own.points)
    np.testing.assert_allclose(pd, own.pd, rtol=1e-6)


def test_onnx_takes_infinity_and_far_positions_for_missing():
    package = packages.package()
    names = [f.name for f in package.dictionary.owned_features("bank")]
    inputs = {name: np.array([math.nan, math.inf, -math.inf]) for name in names if name != "home"}
    inputs["home"] = np.array([-1, 99, 3])
    session = onnxruntime.InferenceSession(onnx_model(package, "bank"), providers=["CPUExecutionProvider"])
    (points,) = session.run(["points"], inputs)
    assert len(set(points.tolist())) == 1


def test_onnx_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setattr(onnx_graph, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"fedcredit\[export\]"):
        onnx_model(packages.package(), "bank")


def duckdb_rows(query, table, values):
    connection = duckdb.connect()
    connection.register("given", pa.table(values))
    connection.execute(f"CREATE TABLE {table} AS SELECT * FROM given")
    return connection.execute(query).fetchall()


def sqlite_rows(query, table, values):
    connection = sqlite3.connect(":memory:")
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in values)
    connection.execute(f"CREATE TABLE {table} ({names})")
    places = ", ".join("?" * len(values))
    connection.executemany(f"INSERT INTO {table} VALUES ({places})", zip(*values.values(), strict=True))
    found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("run", [duckdb_rows, sqlite_rows], ids=["duckdb", "sqlite"])
def test_sql_gives_our_scores(model, run):
    package, view = model
    values = raw(package, view)
    rows = run(sql_query(package, view, "customers"), "customers", values)
    own = own_scores(package, view, values)
    assert [row[0] for row in rows] == own.points.tolist()
    np.testing.assert_allclose([row[1] for row in rows], own.pd, rtol=1e-12)
    base = card_of(package, view).base_points
    assert [base + sum(row[2:]) for row in rows] == [row[0] for row in rows]


@pytest.mark.parametrize("run", [duckdb_rows, sqlite_rows], ids=["duckdb", "sqlite"])
def test_sql_quotes_hostile_names_and_scales_as_the_mapping_says(run):
    package, hostile = packages.package(), 'a"; DROP TABLE x; --'
    plain = identity_mapping(package.dictionary, "bank")
    entries = {**plain.features, "bill": ColumnMapping(column=hostile, scale=0.01)}
    mapping = plain.model_copy(update={"features": entries, "id_column": "the id"})
    values = raw(package, "bank")
    cents = [None if x is None else float(round(x * 100)) for x in values["bill"]]
    renamed = {"the id": [f"c{i}" for i in range(ROWS)], **{k: v for k, v in values.items() if k != "bill"}}
    query = sql_query(package, "bank", 't"able', mapping)
    rows = run(query, '"t""able"', {**renamed, hostile: cents})
    assert [row[0] for row in rows] == renamed["the id"]
    own = own_scores(package, "bank", {**values, "bill": [None if x is None else x * 0.01 for x in cents]})
    assert [row[1] for row in rows] == own.points.tolist()


def test_sql_takes_what_is_no_number_for_missing():
    package = packages.package()
    odd = {"age": [math.nan, math.inf, -math.inf], "bill": [math.inf] * 3, "same": [math.nan] * 3}
    values = {**odd, "late": [math.nan] * 3, "home": [None] * 3}
    rows = duckdb_rows(sql_query(package, "bank", "customers"), "customers", values)
    assert len({row[0] for row in rows}) == 1
    assert rows[0][0] == own_nothing(package)


def own_nothing(package):
    card = card_of(package, "bank")
    return card.base_points + sum(int(one.points[one.missing]) for one in card.features)


def test_sql_refuses_codes_that_a_mapping_translates():
    package = packages.package()
    plain = identity_mapping(package.dictionary, "bank")
    entries = {**plain.features, "home": ColumnMapping(column="home", codes={"a": "own"})}
    with pytest.raises(DictionaryError, match="home: its codes are translated"):
        sql_query(package, "bank", "t", plain.model_copy(update={"features": entries}))


def test_the_points_table_adds_up_to_scores_and_has_optbinning_s_columns():
    package = packages.package()
    rows = list(csv.DictReader(io.StringIO(points_csv(package))))
    assert tuple(rows[0]) == COLUMNS
    card = card_of(package, "bank")
    base = [row for row in rows if row["Variable"] == BASE]
    assert [row["Bin"] for row in base] == ["bank", "hospital"]
    assert int(base[0]["Points"]) == card.base_points
    for one in package.model.features:
        own = [row for row in rows if row["Variable"] == one.name]
        assert [int(row["Bin id"]) for row in own] == list(range(len(one.bins)))
        for row, released in zip(own, one.bins, strict=True):
            assert float(row["Non-event"]) == pytest.approx(released.good, rel=1e-5)
            assert float(row["Coefficient"]) == released.weight / 1024
            assert row["Bin"] == released.label
            rate = released.bad / (released.good + released.bad)
            assert row["Event rate"] == "" or float(row["Event rate"]) == pytest.approx(rate, rel=1e-5)
