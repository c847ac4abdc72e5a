"""A kit, an invitation, and institutions that were made from them."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcredit.provisioning.consortium import ConsortiumRequest, new_consortium
from fedcredit.provisioning.new_files import write_new
from tests import tiny

KIT = Path(__file__).resolve().parents[3]


@pytest.fixture
def kit() -> Path:
    """The repository: its clients/ is what a kit holds."""
    return KIT


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name leaves room for a Unix socket's path."""
    with tempfile.TemporaryDirectory(prefix="fc-") as name:
        yield Path(name)


@pytest.fixture
def asked() -> ConsortiumRequest:
    return ConsortiumRequest(
        name="coordinator",
        host="127.0.0.1",
        port=9443,
        region="DE",
        dictionary=tiny.DICTIONARY,
        bundles=("ab" * 32,),
        certificate=None,
    )


@pytest.fixture
def coordinator(folder, asked) -> Path:
    """The coordinator's folder."""
    write_new(folder / "coordinator", new_consortium(asked, datetime.now(UTC)).files)
    return folder / "coordinator"
