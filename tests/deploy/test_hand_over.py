"""hand-over.sh with the two accounts, in a root of its own: who can read and write what afterwards."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.dockerfile import run_steps

HAND_OVER = Path(__file__).resolve().parents[2] / "deploy" / "hand-over.sh"
FILES = (
    *("SITE.yaml", "NODE.yaml", "policy.yaml", "dictionary.yaml", "ledger.sqlite", "tls/ca.pem", "node-state/log"),
    *("keys/identity.pem", "keys/data.key", "keys/relay.token", "keys/node"),
)
ACCOUNTS = """FROM x:1
COPY . /srv/site
RUN groupadd fedcredit-relay && useradd -U -G fedcredit-relay fedcredit-custodian \
 && useradd -U -G fedcredit-relay fedcredit-node
"""
LOOK = """
for account in custodian node; do for way in r w; do for file in $(cd /srv/site && find . -type f | sort); do
  setpriv --reuid=fedcredit-$account --regid=fedcredit-$account --init-groups test -$way /srv/site/$file \
    && echo $account $way $file || true
done; done; done
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a root of one's own needs root")


def handed_over(folder: Path, *, then: str) -> subprocess.CompletedProcess[str]:
    """The script run twice on an institution's folder, and a look at the result."""
    context, scratch = folder / "context", folder / "scratch"
    for name in FILES:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("# socket_group: fedcredit-relay    # comment\n")
    shutil.copy(HAND_OVER, context / "hand-over.sh")
    scratch.mkdir()
    (folder / "Dockerfile").write_text(ACCOUNTS)
    command = "mv /srv/site/hand-over.sh /h.sh; /h.sh /srv/site; /h.sh /srv/site\n" + then
    return run_steps(folder / "Dockerfile", context, scratch, then=command, network=False)


def test_each_account_reaches_its_own_files_and_no_program_its_settings(tmp_path: Path) -> None:
    done = handed_over(tmp_path, then=LOOK)
    assert done.returncode == 0, done.stderr
    found: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        account, way, file = line.split()
        found.setdefault(f"{account} {way}", set()).add(file.removeprefix("./"))
    settings = {"SITE.yaml", "policy.yaml", "dictionary.yaml"}
    own = {"ledger.sqlite", "keys/identity.pem", "keys/data.key", "keys/relay.token"}
    assert found == {
        "custodian r": settings | own,
        "custodian w": own,
        "node r": {"NODE.yaml", "tls/ca.pem", "keys/node", "keys/relay.token", "node-state/log"},
        "node w": {"keys/node", "node-state/log"},
    }


def test_the_socket_is_opened_to_the_group(tmp_path: Path) -> None:
    done = handed_over(tmp_path, then="cat /srv/site/SITE.yaml")
    assert done.stdout == "socket_group: fedcredit-relay    # comment\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    done = handed_over(tmp_path, then="ln -s /etc/shadow /srv/site/data; /h.sh /srv/site")
    assert done.returncode == 1
    assert "/srv/site/data" in done.stderr
