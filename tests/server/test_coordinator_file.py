"""COORDINATOR.yaml: paths beside the file, defaults, and what a mistake is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fedcredit.errors import ConfigError
from server.coordinator_file import load_coordinator_file

FILE: dict[str, Any] = {
    "name": "coordinator",
    "key": "keys/coordinator.pem",
    "dictionary": "dictionary.yaml",
    "roster": "roster.yaml",
    "certificate": "tls/server.pem",
    "certificate_key": "tls/server.key",
    "ca": "/etc/ca.pem",
    "state": "state",
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "COORDINATOR.yaml"
    path.write_text(yaml.safe_dump({**FILE, **changes}), encoding="utf-8")
    return path


def test_paths_are_beside_the_file(tmp_path: Path) -> None:
    file = load_coordinator_file(written(tmp_path))
    assert file.key == tmp_path / "keys/coordinator.pem"
    assert file.ca == Path("/etc/ca.pem")
    assert file.queue == tmp_path / "state/queue.sqlite"
    assert file.job_folder("a") == tmp_path / "state/jobs/a"


def test_ports_and_pacing_have_defaults(tmp_path: Path) -> None:
    file = load_coordinator_file(written(tmp_path, pacing={"retry_first_s": 1}))
    assert (file.fleet.port, file.api_port) == (9443, 8000)
    assert [file.pacing.retry_s(n) for n in (1, 2, 3, 50, 5000)] == [1, 2, 4, 300, 300]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, "name: is blank; fill it in"),
        ({"plan": "x"}, "plan: is not a known key"),
        ({"fleet": {"port": 0}}, "fleet · port: "),
        ({"fleet": {"port": 8000}}, "are both 8000"),
        ({"pacing": {"retry_first_s": 0}}, "pacing · retry_first_s: "),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"COORDINATOR\.yaml") as caught:
        load_coordinator_file(written(tmp_path, **changes))
    assert said in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        load_coordinator_file(tmp_path / "COORDINATOR.yaml")
