"""The table of faults: the same as the other side's, each with a sentence and somebody who can act."""

import pytest

from clients.app import FAULTS as SENT
from server.faults import FAULTS, INSTITUTION, NO_ENVELOPE, NOT_ACCEPTED, OPERATOR, fault_of_code

TOLD = [*FAULTS.values(), NO_ENVELOPE, NOT_ACCEPTED]


def test_both_sides_have_the_same_numbers() -> None:
    assert {fault.name: code for code, fault in FAULTS.items() if code >= 1000} == SENT


@pytest.mark.parametrize("fault", TOLD, ids=lambda fault: fault.name)
def test_each_says_what_happened_and_who_does_what(fault) -> None:
    assert fault.who in {INSTITUTION, OPERATOR}
    assert fault.words() == f"{fault.sentence} ({fault.name}); {fault.who} {fault.remedy}"
    assert "\n" not in fault.words()
    assert min(len(fault.sentence), len(fault.remedy)) > 10


def test_names_are_distinct() -> None:
    assert len({fault.name for fault in TOLD}) == len(TOLD)


def test_a_number_of_a_newer_node_is_told_as_it_is() -> None:
    fault = fault_of_code(4711)
    assert "4711" in fault.words()
    assert not fault.passing


@pytest.mark.parametrize("name", ["bundle-unknown", "custodian-token", "institution-unknown", "custodian-unnamed"])
def test_what_a_person_must_mend_is_not_asked_again_at_once(name) -> None:
    assert not FAULTS[SENT[name]].passing
