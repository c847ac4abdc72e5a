"""A whole node under a coordinator that ships code: what it can run at an institution is nothing."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients.app import FAULTS
from tests.certificates import authority
from tests.clients.conftest import listening
from tests.clients.deployment import Coordinator, Listener, Proxy, bundle_hash, make_app
from tests.clients.nodes import Supervisor, make_node, supervised
from tests.clients.runtime_server import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SIGN = "4f1c-a-sign-that-only-hostile-code-carries"
HONEST = "app = None\nraise RuntimeError('the code of a bundle never runs, nor does that of a reviewed one')\n"
HOSTILE = """
from pathlib import Path
from flwr.clientapp import ClientApp
Path({mark!r}).write_text({sign!r})
app = ClientApp()

@app.query()
def query(message, context):
    raise RuntimeError(Path({mark!r}).read_text())
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The coordinator's side, the institution's side, and what lies between."""

    coordinator: Coordinator
    node: Supervisor
    proxy: Proxy
    direct: Listener
    reviewed: Path
    hostile: Path
    mark: Path
    asked: list[bytes]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("d")
    mark, asked = folder / "hostile-code-ran", []
    reviewed = make_app(folder, "reviewed", HONEST)
    hostile = make_app(folder, "hostile", HOSTILE.format(mark=str(mark), sign=SIGN))

    def answer(request: bytes, _: object) -> bytes:
        asked.append(request)
        return request + b" answered"

    with ExitStack() as stack:
        coordinator = stack.enter_context(Coordinator(folder / "coordinator"))
        direct = stack.enter_context(Listener())
        superlink = f"localhost:{direct.port}"
        proxy = stack.enter_context(Proxy({superlink: coordinator.port}))
        (folder / "node").mkdir()
        file = make_node(
            folder / "node",
            [bundle_hash(reviewed)],
            superlink=superlink,
            proxy=f"http://127.0.0.1:{proxy.port}",
            root_certificates=coordinator.ca,
        )
        coordinator.flwr("supernode", "register", str(folder / "node" / "node.pub"), "here", "--name", "bank-a")
        stack.enter_context(listening(answer, folder / "node" / "custodian.sock"))
        node = stack.enter_context(supervised(file))
        wait_until(lambda: "SuperNode ID" in node.state("supernode.log"), 90)
        yield Deployment(coordinator, node, proxy, direct, reviewed, hostile, mark, asked)


def holding(folder: Path, sign: bytes) -> list[Path]:
    """Files below a folder that hold some bytes."""
    return [path for path in folder.rglob("*") if path.is_file() and sign in path.read_bytes()]


def test_the_reviewed_bundle_s_messages_are_relayed_and_no_others(deployment):
    already = len(deployment.asked)
    told = deployment.coordinator.ask(deployment.reviewed, "query train query.else")
    unknown = [FAULTS["message-unknown"], None]
    assert told == ["question answered", unknown, unknown]
    assert deployment.asked[already:] == [b"question"]


def test_a_hostile_bundle_is_a_number_to_the_coordinator_and_nothing_to_the_institution(deployment):
    already = len(deployment.asked)
    told = deployment.coordinator.ask(deployment.hostile)
    assert told == [[FAULTS["bundle-unknown"], None]]
    assert len(deployment.asked) == already
    folder = deployment.node.file.parent
    assert not deployment.mark.exists()
    assert holding(folder, SIGN.encode()) == []
    assert not [*folder.rglob("*.fab"), *folder.rglob("apps")]
    # The reviewed one is not kept, either: its hash is all that the node ever uses of it.
    assert holding(folder, b"the code of a bundle never runs") == []
    assert f"app bundle {bundle_hash(deployment.hostile)} is not in NODE.yaml" in deployment.node.state("runner.log")
    # The code would have run.
    with pytest.raises(ImportError):
        exec((deployment.hostile / "shipped" / "client.py").read_text().replace("flwr.clientapp", "nowhere"))
    exec(HOSTILE.format(mark=str(deployment.mark), sign=SIGN))
    assert deployment.mark.read_text() == SIGN
    deployment.mark.unlink()


def test_the_proxy_is_the_only_way_out(deployment):
    assert deployment.proxy.n_connections > 0
    assert deployment.proxy.wanted == {f"CONNECT localhost:{deployment.direct.port}"}
    assert deployment.direct.n_connections == 0


def test_a_supernode_that_is_refused_is_explained_to_the_operator(deployment, tmp_path):
    """Flower ends with the same words whether it still counts a killed node as online or does not know the key."""
    superlink = f"127.0.0.1:{deployment.coordinator.port}"
    file = make_node(tmp_path, [], superlink=superlink, root_certificates=deployment.coordinator.ca)
    with supervised(file) as stranger:
        stranger.says("supernode ended (exit code 1): the SuperLink did not take this node: a coordinator")


def test_a_superlink_with_another_authority_s_certificate_is_explained(deployment, tmp_path):
    superlink = f"127.0.0.1:{deployment.coordinator.port}"
    file = make_node(tmp_path, [], superlink=superlink, root_certificates=authority("other").write(tmp_path / "ca.pem"))
    with supervised(file) as mistaken:
        mistaken.says("the SuperLink's certificate was not accepted; compare root_certificates")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_killed_supernode_is_back_after_flower_s_minute(deployment):
    log = deployment.node.state("supernode.log")
    deployment.node.child("flower-supernode").kill()
    deployment.node.says("supernode ended (SIGKILL)")
    deployment.node.says("for up to 60 s it counts a killed node as online")
    wait_until(lambda: "SuperNode ID" in deployment.node.state("supernode.log")[len(log) :], 180)
    assert deployment.coordinator.ask(deployment.reviewed) == ["question answered"]
