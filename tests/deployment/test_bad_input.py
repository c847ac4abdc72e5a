"""What does not fit is said with a remedy where somebody can act, and in a neutral word on the other side.

The page's table and this one agree row by row; each row names the tests that hold its two sides. The words that an
institution lets out are compared letter by letter: nothing of the site is in them.
"""

import ast
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedcredit.wire.messages import JoinRequest, Refusal
from server.faults import FAULTS
from simulations.federation import custodian_of
from tests import tiny
from tests.privacy_checks import ask, changed

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "incidents.md"
HERE = "tests/deployment/test_bad_input.py::"
CONNECTION = "tests/fedcredit/provisioning/test_check_connection.py::"
MACHINE = "tests/fedcredit/provisioning/test_check_machine.py::"
SITE = "tests/fedcredit/provisioning/test_check_site.py::"
NODE = "tests/clients/test_child.py::test_an_operator_reads_the_remedy"
LEDGER = "tests/fedcredit/privacy/test_ledger_faults.py::"
CUSTODIAN = "tests/fedcredit/custodian/test_custodian.py::"
SERVE = "tests/fedcredit/cli/test_custodian.py::test_serve_refuses_in_one_sentence"
CHECKS = "tests/server/test_checks.py::"
ABSENT = "tests/server/test_strategy.py::test_missing_institutions_are_named_when_the_time_is_over"
REFUSED = HERE + "test_a_refusal_tells_nothing_of_the_site"
UNREACHED = HERE + "test_a_nodes_fault_is_a_number_and_these_words"

# Case as the page names it: tests of the side that can act, tests of the other one.
ROWS = {
    "wrong CA": (
        (CONNECTION + "test_a_certificate_of_another_ca_names_its_issuer", NODE),
        (ABSENT, CHECKS + "test_another_authority_is_named"),
    ),
    "expired certificate": (
        (CHECKS + "test_a_wrong_certificate_is_named", CHECKS + "test_a_certificate_that_runs_out_is_a_warning"),
        (CONNECTION + "test_a_certificate_out_of_date_says_from_when_to_when",),
    ),
    "clock skew": ((CONNECTION + "test_the_clock_may_differ_by_what_flower_accepts",), (ABSENT,)),
    "unknown node key": (
        (SITE + "test_each_fault_is_a_row_of_its_own_with_a_remedy", NODE),
        ("tests/server/test_roll_call.py::test_the_operator_is_told_once_of_a_node_that_is_nobodys", ABSENT),
    ),
    "wrong roster version": (
        (CUSTODIAN + "test_a_changed_roster_is_refused",),
        (REFUSED,),
    ),
    "wrong dictionary version": (
        (
            CUSTODIAN + "test_a_plan_of_another_consortium_is_refused",
            CHECKS + "test_another_dictionary_than_an_open_jobs_is_named",
        ),
        (REFUSED,),
    ),
    "other Flower version": (
        (MACHINE + "test_another_flower_is_refused", CHECKS + "test_another_flower_is_named"),
        (ABSENT,),
    ),
    "port taken": (
        (
            NODE,
            CHECKS + "test_a_taken_port_is_named",
            "tests/server/test_fleet_listener.py::test_a_port_that_is_taken_is_named_with_a_remedy",
            "tests/fedcredit/custodian/test_service.py::test_a_taken_port_is_said_and_no_socket_stays",
        ),
        (UNREACHED, CONNECTION + "test_a_closed_port_is_the_network_and_nothing_else"),
    ),
    "full disk": (
        (
            MACHINE + "test_a_full_disk_is_named_with_its_folder",
            CHECKS + "test_a_full_disk_is_named",
            LEDGER + "test_a_full_database_charges_nothing_and_answers_once_there_is_space",
        ),
        (HERE + "test_a_full_disk_tells_no_path",),
    ),
    "unreadable data file": (
        (SERVE, "tests/fedcredit/custodian/test_data_process.py::test_a_file_of_another_account_is_said"),
        (UNREACHED,),
    ),
    "columns changed since the last job": (
        (SERVE, SITE + "test_columns_that_drifted_are_named_and_no_value_is"),
        (UNREACHED,),
    ),
    "coordinator not in SITE.yaml": (
        (CUSTODIAN + "test_a_plan_of_another_consortium_is_refused",),
        (REFUSED,),
    ),
}


def test_the_page_has_a_row_for_each_case_and_no_other() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## When something does not fit", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows[1:] == [*ROWS]


@pytest.mark.parametrize("case", ROWS)
def test_both_sides_have_tests_that_exist(case: str) -> None:
    for tests in ROWS[case]:
        for test in tests:
            file, _, name = test.partition("::")
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test


def newer_roster() -> dict[str, Any]:
    roster = tiny.federation().plan.roster.model_dump()
    return {**roster, "version": roster["version"] + 1, "previous": "00" * 32}


WORDS = {
    "roster": ({"roster": newer_roster()}, "the plan's roster is not the one this site pinned; exchange roster files."),
    "dictionary": (
        {"dictionary": "00" * 32},
        "the plan's data dictionary differs from this site's; exchange the file.",
    ),
    "coordinator": ({}, "coordinator 'stranger' is not on this site's list."),
}


@pytest.mark.parametrize("code", WORDS)
def test_a_refusal_tells_nothing_of_the_site(code: str) -> None:
    consortium = tiny.federation()
    bank = custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)
    changes, words = WORDS[code]
    sender = "coordinator" if changes else "stranger"
    reply = ask(consortium, bank, JoinRequest(changed(consortium.plan, **changes).to_bytes()), sender=sender)
    assert isinstance(reply, Refusal)
    assert (reply.code, reply.text) == (code, words)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_tells_no_path(tmp_path: Path) -> None:
    """Nothing is charged either, and the same request is answered once there is room."""
    consortium = tiny.federation()
    bank = custodian_of(consortium, consortium.institutions[0], tiny.spec(), tmp_path / "ledger.sqlite")
    join, before = JoinRequest(consortium.plan.to_bytes()), bank.ledger.event_count
    with no_file_beyond(max(path.stat().st_size for path in tmp_path.glob("*-wal")) + 100):
        reply = ask(consortium, bank, join)
    assert isinstance(reply, Refusal)
    assert reply.code == "ledger"
    assert "check the disk's space, owner and mode" in reply.text
    assert str(tmp_path) not in reply.text
    assert bank.ledger.event_count == before
    assert not isinstance(ask(consortium, bank, join), Refusal)


def test_a_nodes_fault_is_a_number_and_these_words() -> None:
    """A custodian that did not start, for whatever reason: its data, its port, its columns."""
    fault = next(one for one in FAULTS.values() if one.name == "custodian-unreachable")
    assert fault.words() == (
        "the node does not reach its custodian (custodian-unreachable); the institution starts it: fedcredit custodian "
        "serve SITE.yaml"
    )
