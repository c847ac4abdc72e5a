"""Flower's version, the disk, and a custodian that answers: on this machine's real programs and sockets."""

import os
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fedcredit.custodian.site_file import load_site_file
from fedcredit.node_file import NodeFile
from fedcredit.provisioning import check_machine
from fedcredit.provisioning.check_machine import machine_rows
from fedcredit.provisioning.checks import Verdict, existing_folder
from tests.fedcredit.cli.conftest import cli, site

__all__ = ["cli", "site"]

OK, FAILED, SKIPPED = Verdict.OK, Verdict.FAILED, Verdict.SKIPPED
SERVING = health_pb2.HealthCheckResponse.SERVING
HAS_FLOWER = Path(sys.executable).with_name("flower-supernode").exists()


@pytest.fixture
def node(site) -> NodeFile:
    return NodeFile(
        superlink="127.0.0.1:9443",
        root_certificates=site.folder / "ca.pem",
        node_key=site.folder / "node",
        custodian=str(load_site_file(site.file).socket),
        relay_token=site.folder / "token",
        bundles=(),
        state=site.folder / "not" / "yet" / "made",
    )


def look(site, node: NodeFile | None) -> dict:
    rows = machine_rows(load_site_file(site.file), node)
    assert [row.check for row in rows] == ["Flower", "disk", "custodian"]
    return {row.check: row for row in rows}


def program(folder: Path, said: str) -> None:
    path = folder / "flower-supernode"
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An environment without Flower beside its interpreter."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return tmp_path


@pytest.mark.skipif(not HAS_FLOWER, reason="Flower is not installed")
def test_the_installed_flower_is_the_one_that_is_needed(site, node):
    row = look(site, node)["Flower"]
    assert (row.verdict, "Flower version: 1.41" in row.text) == (OK, True)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("Flower version: 1.41.7", OK),
        ("Flower version: 1.42.0", FAILED),
        ("Flower version: 1.4.10", FAILED),
        ("Flower version: 11.41.0", FAILED),
        ("no version", FAILED),
    ],
)
def test_another_flower_is_refused(site, node, elsewhere, said, verdict):
    program(elsewhere, said)
    row = look(site, node)["Flower"]
    assert row.verdict is verdict
    assert (verdict is OK) or "version 1.41 is needed" in row.text


def test_no_flower_is_named(site, node, elsewhere):
    row = look(site, node)["Flower"]
    assert row.verdict is FAILED
    assert "install the node kit" in row.text


def test_without_a_node_flower_is_not_asked(site, elsewhere):
    assert look(site, None)["Flower"].verdict is SKIPPED


def test_a_full_disk_is_named_with_its_folder(site, node, monkeypatch):
    assert look(site, node)["disk"].verdict is OK
    monkeypatch.setattr(check_machine, "_LEAST_FREE_BYTES", shutil.disk_usage(site.folder).total + 1)
    row = look(site, node)["disk"]
    assert row.verdict is FAILED
    assert str(site.folder.resolve()) in row.text


def test_the_nearest_folder_that_exists_counts(tmp_path):
    assert existing_folder(tmp_path / "a" / "b") == tmp_path
    assert existing_folder(tmp_path) == tmp_path


@pytest.fixture
def served(site):
    """A health service such as a custodian's on the site's socket; yields a function that sets its word."""
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{load_site_file(site.file).socket}")
    server.start()
    yield lambda word: servicer.set("fedcredit.v1.Custodian", word)
    server.stop(None).wait()


def test_a_custodian_that_serves_answers(site, node, served):
    served(SERVING)
    assert look(site, node)["custodian"].verdict is OK
    served(health_pb2.HealthCheckResponse.NOT_SERVING)
    row = look(site, node)["custodian"]
    assert (row.verdict, "is stopping" in row.text) == (FAILED, True)


def test_a_custodian_that_was_not_started_is_no_fault(site, node):
    row = look(site, node)["custodian"]
    assert (row.verdict, "fedcredit custodian serve" in row.text) == (SKIPPED, True)
    port = node.model_copy(update={"custodian": "127.0.0.1:1"})
    assert look(site, port)["custodian"].verdict is SKIPPED


def test_a_socket_where_nobody_listens_is_one(site, node):
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(load_site_file(site.file).socket))
    row = look(site, node)["custodian"]
    assert (row.verdict, "nobody answers" in row.text) == (FAILED, True)


def test_node_and_custodian_meet_at_one_socket(site, node):
    row = look(site, node.model_copy(update={"custodian": str(site.folder / "other.sock")}))["custodian"]
    assert row.verdict is FAILED
    assert "write the same in both" in row.text
