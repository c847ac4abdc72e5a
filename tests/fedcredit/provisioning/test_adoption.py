"""A site takes over the next roster, and its key where that pins another; a crash between two parts is made good."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from fedcredit.audit.reading import check as check_trail
from fedcredit.audit.trail import Trail
from fedcredit.audit.trail_file import trail_of
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.errors import ConfigError, LedgerError
from fedcredit.linked.log import link_log_of, record
from fedcredit.node_file import NodeFile
from fedcredit.privacy.ledger import Ledger
from fedcredit.provisioning import adoption
from fedcredit.provisioning.adoption import adopt, look_at, public_of, waiting
from fedcredit.provisioning.application import Application
from fedcredit.provisioning.check_site import load_node_key
from fedcredit.provisioning.institution import make_node_key
from fedcredit.provisioning.own_requests import request_leave, request_rotation
from fedcredit.provisioning.roster_update import next_roster
from fedcredit.roster import Roster
from fedcredit.roster_file import SignedRoster, load_roster, read_roster_file, sign_roster, write_roster_file
from fedcredit.wire.envelope import SigningKey
from tests.fedcredit.cli.conftest import Site, cli, site

__all__ = ["cli", "site"]

TODAY = date(2026, 5, 4)
EXPIRES = date(2027, 5, 4)


def proposed(site: Site, *applications: Application, expires: date = EXPIRES, sign: tuple[str, ...] = ()) -> Path:
    """The next roster's file, signed by the named members."""
    new = next_roster(read_roster_file(site.roster), applications, expires, TODAY)
    path = site.folder / "roster-v2.yaml"
    write_roster_file(path, SignedRoster(new, {name: sign_roster(new, keys_of(site, new)[name]) for name in sign}))
    return path


def keys_of(site: Site, new: Roster) -> dict[str, SigningKey]:
    own = next(one for one in new.members if one.id == "bank-1")
    key_path = site.key_path if own.public_key == site.key().public.hex() else waiting(site.key_path)
    return {"bank-1": SigningKey.load(key_path), "bank-2": site.other}


def test_a_renewed_roster_takes_the_pinned_ones_place(site):
    file, path = load_site_file(site.file), proposed(site, sign=("bank-1", "bank-2"))
    before = site.key_path.read_bytes()
    proposal = look_at(file, path, TODAY)
    assert proposal.changes == ("valid to the end of 2027-05-04, until now of 9999-12-31",)
    assert adopt(file, None, proposal, TODAY) == [f"{file.roster} is roster version 2 now"]
    assert load_roster(file.roster).version == 2
    assert site.key_path.read_bytes() == before


def test_a_roster_that_somebody_has_not_signed_is_not_taken_over(site):
    file, pinned = load_site_file(site.file), site.roster.read_bytes()
    proposal = look_at(file, proposed(site, sign=("bank-1",)), TODAY)
    with pytest.raises(ConfigError, match="is not signed by bank-2"):
        adopt(file, None, proposal, TODAY)
    assert site.roster.read_bytes() == pinned


def test_a_roster_of_an_earlier_or_another_line_is_refused(site):
    file, second = load_site_file(site.file), proposed(site, sign=("bank-1", "bank-2"))
    first = site.roster.read_bytes()
    adopt(file, None, look_at(file, second, TODAY), TODAY)
    (site.folder / "old.yaml").write_bytes(first)
    with pytest.raises(ConfigError, match="version 1 is not above 2"):
        look_at(file, site.folder / "old.yaml", TODAY)
    other = load_roster(second).model_copy(update={"version": 3, "previous": "ab" * 32})
    write_roster_file(site.folder / "other.yaml", SignedRoster(other, {}))
    with pytest.raises(ConfigError, match="adopt the versions in between"):
        look_at(file, site.folder / "other.yaml", TODAY)


def test_an_expired_roster_is_refused(site):
    path = proposed(site, sign=("bank-1", "bank-2"))
    with pytest.raises(ConfigError, match="it was valid until 2027-05-04"):
        look_at(load_site_file(site.file), path, EXPIRES + timedelta(1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"public_key": SigningKey.generate().public.hex()}, "another key for bank-1 .* do not sign"),
        ({"kind": "hospital"}, "bank-1 as a hospital, SITE.yaml as a bank"),
        ({"id": "bank-9"}, "does not list bank-1"),
    ],
)
def test_nobody_changes_our_entry_for_us(site, change, words):
    values = load_roster(site.roster).model_dump()
    members = [{**one, **(change if one["id"] == "bank-1" else {})} for one in values["members"]]
    new = Roster.model_validate(
        {**values, "version": 2, "previous": load_roster(site.roster).digest().hex(), "members": members}
    )
    write_roster_file(site.folder / "new.yaml", SignedRoster(new, {}))
    with pytest.raises(ConfigError, match=words):
        look_at(load_site_file(site.file), site.folder / "new.yaml", TODAY)


def test_a_site_that_left_is_told_what_to_do(site):
    file = load_site_file(site.file)
    asked = request_leave(file, site.folder)
    assert asked.path.name == "bank-1.leave-v2.application.yaml"
    new = next_roster(read_roster_file(site.roster), [asked.application], EXPIRES, TODAY)
    write_roster_file(site.folder / "new.yaml", SignedRoster(new, {"bank-2": sign_roster(new, site.other)}))
    with pytest.raises(ConfigError, match="If it has left, stop its custodian and node and keep the ledger"):
        look_at(file, site.folder / "new.yaml", TODAY)
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        request_leave(file, site.folder)


# --- keys


@pytest.fixture
def served(site, cli):
    """The site after its custodian served once: a ledger and a trail under the first key."""
    assert cli("ledger", "open", site.file).code == 0
    start_and_stop(site)
    return site


def start_and_stop(site: Site) -> None:
    file = load_site_file(site.file)
    own = load_site(file)
    with Ledger.open(file.ledger, own.key) as ledger:
        Custodian(own, ledger).stopped()


def rotated(site: Site, node: NodeFile | None = None) -> Path:
    asked = request_rotation(load_site_file(site.file), node, site.folder)
    return proposed(site, asked.application, sign=("bank-1", "bank-2"))


def test_the_custodian_goes_on_under_the_new_key(served):
    file, old = load_site_file(served.file), served.key()
    path = rotated(served)
    new = SigningKey.load(waiting(served.key_path))
    assert waiting(served.key_path).stat().st_mode & 0o777 == 0o600
    start_and_stop(served)  # the request alone changes nothing
    links = link_log_of(file.ledger)
    record(links, old, datetime.now(UTC), {"event": "linked offer"})
    done = adopt(file, None, look_at(file, path, TODAY), TODAY)
    assert len(done) == 3
    assert served.key().public == new.public
    retired = served.key_path.with_name("identity.pem.retired-2026-05-04")
    assert SigningKey.load(retired).public == old.public
    assert not waiting(served.key_path).exists()
    start_and_stop(served)
    with Ledger.read(file.ledger, old.public) as ledger:
        assert ledger.keys == (old.public, new.public)
    assert check_trail(trail_of(file.ledger), new.public) == check_trail(trail_of(file.ledger), old.public)
    record(links, new, datetime.now(UTC), {"event": "linked offer"})
    assert check_trail(links, new.public).lines == 3


@pytest.mark.parametrize("crash", ["ledger", "trail", "key"])
def test_a_crash_on_the_way_is_made_good_by_doing_it_again(served, monkeypatch, crash):
    file, path = load_site_file(served.file), rotated(served)
    new = SigningKey.load(waiting(served.key_path))
    target, name = {
        "ledger": (Trail, "change_key"),
        "trail": (adoption, "_exchange"),
        "key": (adoption, "write_roster_file"),
    }[crash]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            adopt(file, None, look_at(file, path, TODAY), TODAY)
    if crash != "key":
        with pytest.raises(LedgerError, match="fedcredit institution adopt"):
            Ledger.open(file.ledger, served.key())
    adopt(file, None, look_at(file, path, TODAY), TODAY)
    assert served.key().public == new.public
    assert load_roster(file.roster).version == 2
    start_and_stop(served)
    check_trail(trail_of(file.ledger), new.public)


def test_a_custodian_that_still_serves_is_in_the_way(served):
    file, path = load_site_file(served.file), rotated(served)
    with Ledger.open(file.ledger, served.key()), pytest.raises(LedgerError, match="in use"):
        adopt(file, None, look_at(file, path, TODAY), TODAY)
    assert load_roster(file.roster).version == 1


def test_a_key_changes_before_there_is_a_ledger(site):
    file, path = load_site_file(site.file), rotated(site)
    new = SigningKey.load(waiting(site.key_path))
    adopt(file, None, look_at(file, path, TODAY), TODAY)
    assert site.key().public == new.public


def test_a_second_change_waits_for_the_first(site):
    rotated(site)
    with pytest.raises(ConfigError, match="a change waits already"):
        request_rotation(load_site_file(site.file), None, site.folder)


def test_the_key_of_one_day_is_not_written_over(site):
    file = load_site_file(site.file)
    for number in (2, 3):
        application = request_rotation(file, None, site.folder).application
        new = next_roster(read_roster_file(site.roster), [application], EXPIRES + timedelta(number), TODAY)
        keys = {"bank-1": SigningKey.load(waiting(site.key_path)), "bank-2": site.other}
        path = site.folder / f"roster-v{number}.yaml"
        write_roster_file(path, SignedRoster(new, {name: sign_roster(new, key) for name, key in keys.items()}))
        adopt(file, None, look_at(file, path, TODAY), TODAY)
    names = sorted(path.name for path in site.key_path.parent.glob("identity.pem.retired-*"))
    assert names == ["identity.pem.retired-2026-05-04", "identity.pem.retired-2026-05-04-2"]


@pytest.mark.parametrize("crash", [False, True])
def test_the_node_key_is_exchanged_with_it(site, monkeypatch, crash):
    first = make_node_key()
    path = site.folder / "keys" / "node"
    path.write_bytes(first.private)
    path.chmod(0o600)
    public_of(path).write_text(first.public + "\n")
    node = NodeFile(
        superlink="127.0.0.1:9443",
        root_certificates=site.folder / "ca.pem",
        node_key=path,
        custodian="c.sock",
        bundles=(),
        state=site.folder,
    )
    file, new = load_site_file(site.file), rotated(site, node)
    if crash:
        proposal = look_at(file, new, TODAY)
        with monkeypatch.context() as patch:
            # Between the private half and the public one.
            patch.setattr(adoption, "public_of", lambda one: public_of(one) if one != path else _killed())
            with pytest.raises(KeyboardInterrupt):
                adopt(file, node, proposal, TODAY)
    adopt(file, node, look_at(file, new, TODAY), TODAY)
    member = load_roster(file.roster).member("bank-1")
    assert load_node_key(path) == member.node_key != first.public
    assert public_of(path).read_text().strip() == member.node_key
    assert path.with_name("node.retired-2026-05-04").read_bytes() == first.private


def _killed():
    raise KeyboardInterrupt
