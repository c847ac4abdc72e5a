"""One warmed process for all crash tests."""

from collections.abc import Iterator

import pytest

from tests.crash.crew import Zygote, zygote


@pytest.fixture(scope="session")
def warmed() -> Iterator[Zygote]:
    with zygote() as process:
        yield process
