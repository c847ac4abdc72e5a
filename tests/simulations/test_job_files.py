"""A simulated federation written as a deployment's files is the same federation."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.data.rows import Dataset, single
from fedcredit.data.uci import uci_dictionary
from fedcredit.errors import ConfigError
from fedcredit.privacy.ledger import Ledger
from fedcredit.roster_file import read_roster_file
from server.job import open_job
from simulations.federation import Federation, Institution, JobSpec, found
from simulations.flower_runner import on_loopback
from simulations.job_files import write_job, write_site
from simulations.settings import read_settings
from simulations.simulation import compose_config
from tests import labelled, tiny

N_ROWS = 500


def every_cell(kind: str, start: int) -> Dataset:
    """Rows that visit every cell of every feature, the missing cell included."""
    sizes = np.array([feature.n_cells for feature in uci_dictionary().owned_features(kind)])
    rows = [(np.arange(part, part + N_ROWS)[:, None] % sizes).astype(np.uint16) for part in (start, start + 7)]
    bad = (np.arange(N_ROWS) % 3 == 0).astype(np.uint8)
    return Dataset(kind, single(rows[0], bad), single(rows[1], bad), bytes(32))


@pytest.fixture(scope="module")
def spec() -> JobSpec:
    return read_settings(
        compose_config(["privacy=none", "federation.banks=1", "federation.hospitals=1"]), 4 * N_ROWS
    ).job


@pytest.fixture(scope="module")
def federation(spec: JobSpec) -> Federation:
    institutions = (
        Institution("bank-1", "bank", every_cell("bank", 0)),
        Institution("hospital-1", "hospital", every_cell("hospital", 3)),
    )
    return found(uci_dictionary(), institutions, spec)


def test_a_custodian_reads_back_the_same_cells(federation: Federation, tmp_path: Path) -> None:
    for one in federation.institutions:
        site_file = write_site(federation, one, tmp_path / one.id, tmp_path / f"{one.id}.ledger", tmp_path / "c.sock")
        site = load_site(load_site_file(site_file))
        for written, read in ((one.data.train, site.data.train), (one.data.evaluate, site.data.evaluate)):
            np.testing.assert_array_equal(written.cells, read.cells)
            np.testing.assert_array_equal(written.bad, read.bad)
        assert site.dictionary.digest() == federation.dictionary.digest()
        assert site.roster.digest() == federation.plan.roster.digest()
        assert site.key.public == federation.keys[one.id].public
        Ledger.open(tmp_path / f"{one.id}.ledger", site.key).close()


def test_the_roster_of_a_site_carries_every_signature(federation: Federation, tmp_path: Path) -> None:
    site_file = write_site(federation, federation.institutions[1], tmp_path / "a", tmp_path / "l", tmp_path / "c.sock")
    signed = read_roster_file(load_site_file(site_file).roster)
    assert signed.roster == federation.plan.roster
    assert signed.faults() == []
    assert not signed.roster.expired(date.max)


def test_the_coordinator_opens_the_same_job(federation: Federation, tmp_path: Path) -> None:
    coordinator = open_job({"job": str(write_job(federation, tmp_path, tmp_path))})
    assert coordinator.plan.to_bytes() == federation.plan.to_bytes()
    assert coordinator.institutions == ("bank-1", "hospital-1")


def test_keys_are_readable_by_their_owner_only(federation: Federation, tmp_path: Path) -> None:
    write_job(federation, tmp_path, tmp_path)
    write_site(federation, federation.institutions[0], tmp_path / "a", tmp_path / "ledger", tmp_path / "c.sock")
    for key in (tmp_path / "coordinator.pem", tmp_path / "a" / "identity.pem", tmp_path / "a" / "data.key"):
        assert key.stat().st_mode & 0o077 == 0


def test_loopback_refuses_noise_that_a_served_custodian_refuses(federation: Federation, spec: JobSpec) -> None:
    with pytest.raises(ConfigError, match=r"use noise\.seed=null"):
        on_loopback(federation, replace(spec, noise_seed=1), None, None)


def test_a_custodian_reads_back_the_same_group_labels(tmp_path: Path) -> None:
    consortium = labelled.federation(replace(labelled.job(), privacy=tiny.NONE))
    one = consortium.institutions[0]
    site_file = write_site(consortium, one, tmp_path / "a", tmp_path / "l", tmp_path / "c.sock")
    site = load_site(load_site_file(site_file))
    np.testing.assert_array_equal(site.data.evaluate.groups, one.data.evaluate.groups)
    assert site.data.train.groups is None
