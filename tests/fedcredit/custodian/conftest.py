"""A tiny consortium and a bank that has joined its job."""

import pytest

from fedcredit.wire.messages import Role
from tests import privacy_checks as checks
from tests import tiny
from tests.privacy_checks import round_request


@pytest.fixture(scope="module")
def consortium():
    return tiny.federation()


@pytest.fixture
def bank(consortium):
    return checks.joined(consortium, tiny.spec())


@pytest.fixture
def preflight(consortium):
    return round_request(consortium, Role.PREFLIGHT, b"")
