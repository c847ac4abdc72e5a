"""The Dockerfiles and compose files: what they say, and their steps run over an overlay of this machine."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy.dockerfile import Step, read_steps, run_steps, script

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = ROOT / "deploy" / "containers"
IMAGES = ("institution", "coordinator")
FILES = {image: CONTAINERS / f"{image}.Dockerfile" for image in IMAGES}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a root of one's own needs root")


def services(image: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = yaml.safe_load((CONTAINERS / f"{image}.compose.yaml").read_text())["services"]
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_pins_its_base_and_runs_as_a_number_that_is_not_root(image: str) -> None:
    steps = read_steps(FILES[image])
    assert steps[0].word == "FROM"
    assert ":" in steps[0].text
    assert "latest" not in steps[0].text
    assert [int(step.text) > 0 for step in steps if step.word == "USER"] == [True]
    assert steps[-1].word == "CMD"


def test_an_instruction_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x:1\nADD http://example.org/x /x\n")
    with pytest.raises(ValueError, match="ADD"):
        read_steps(tmp_path / "Dockerfile")


def test_steps_become_one_script_up_to_the_user() -> None:
    steps = [
        Step("FROM", "x:1"),
        Step("WORKDIR", "/a"),
        Step("COPY", ". /a"),
        Step("RUN", "one  && two"),
        Step("USER", "1"),
    ]
    expected = ["set -eu", "cd /", "mkdir -p /a", "cd /a", "mkdir -p /a", "cp -R /c/./. /a/", "(one  && two)"]
    assert script([*steps, Step("RUN", "three")], "/c").splitlines() == expected


@pytest.mark.parametrize("image", IMAGES)
def test_every_service_is_read_only_without_capabilities_and_without_root(image: str) -> None:
    for service in services(image).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not str(service["user"]).startswith("0")


def test_the_custodian_has_no_network_and_no_port() -> None:
    custodian, node = services("institution")["custodian"], services("institution")["node"]
    assert custodian["network_mode"] == "none"
    assert "ports" not in custodian
    assert "ports" not in node
    assert custodian["user"] != node["user"]
    assert "${FEDCREDIT_FOLDER:?}:/var/lib/fedcredit:ro" in str(node["volumes"])


def test_the_coordinator_publishes_the_fleet_port_alone() -> None:
    assert services("coordinator")["coordinator"]["ports"] == ["9443:9443"]


@needs_root
def test_steps_change_nothing_outside_of_their_root(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(
        "FROM x:1\nCOPY . /srv/copied\nRUN useradd --uid 20009 fedcredit-probe \\\n && rm /etc/hostname\nUSER 20009\n"
    )
    context, scratch = tmp_path / "context", tmp_path / "scratch"
    context.mkdir()
    scratch.mkdir()
    (context / "file").write_text("word")
    done = run_steps(dockerfile, context, scratch, then="cat /srv/copied/file; id -u fedcredit-probe", network=False)
    assert (done.stdout, done.stderr) == ("word20009\n", "")
    assert Path("/etc/hostname").exists()
    assert not Path("/srv/copied").exists()
    assert "fedcredit-probe" not in Path("/etc/passwd").read_text()


@needs_root
@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_institutions_steps_run_without_a_network(tmp_path: Path) -> None:
    kit = Path(os.environ.get("FEDCREDIT_KIT", ROOT / "dist" / "kit"))
    if not kit.is_dir():
        pytest.skip("no kit is built; run: make kit")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    node = "/opt/fedcredit/node/bin/python -P -m clients --help"
    then = f"/opt/fedcredit/custodian/bin/fedcredit version; id -u fedcredit-custodian; {node}"
    done = run_steps(FILES["institution"], kit, scratch, then=then, network=False)
    assert done.returncode == 0, done.stderr
    assert "20001" in done.stdout
    assert "serve" in done.stdout


@needs_root
@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_coordinators_steps_run(tmp_path: Path) -> None:
    context, scratch = tmp_path / "clone", tmp_path / "scratch"
    scratch.mkdir()
    leave = shutil.ignore_patterns(".git", ".venv", "runs", "dist", "__pycache__", ".*_cache", ".hypothesis", "tests")
    shutil.copytree(ROOT, context, ignore=leave)
    then = "cd /opt/fedcredit-coordinator && .venv/bin/python -m server --help"
    done = run_steps(FILES["coordinator"], context, scratch, then=then, network=True)
    assert done.returncode == 0, done.stderr
    assert "submit" in done.stdout
