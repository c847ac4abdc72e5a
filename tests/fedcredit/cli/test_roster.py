"""``fedcredit roster``: what is shown, signed, stopped and delivered."""

import pytest
import yaml

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.service import CustodianService
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.privacy.ledger import Ledger
from fedcredit.roster_file import load_roster, read_roster_file
from fedcredit.wire.envelope import SigningKey, envelope_hash, open_envelope
from fedcredit.wire.messages import IdentifyReply, IdentifyRequest, Refusal, StopReply, StopRequest
from tests.rosters import OTHER_NODE_KEY


def one_sentence(ran, *words):
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert all(word in ran.err for word in words), ran.err


def rows(out):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]


@pytest.fixture
def unsigned(site):
    """The roster of a site before anybody signed it."""
    site.change("roster.yaml", signatures=None)
    return site


@pytest.fixture
def second(site):
    """The site of bank-2, as far as signing needs it."""
    site.other.save(site.folder / "keys" / "other.pem")
    path = site.folder / "OTHER.yaml"
    fields = yaml.safe_load(site.file.read_text())
    path.write_text(yaml.safe_dump({**fields, "institution": "bank-2", "identity_key": "keys/other.pem"}))
    return path


class Answers:
    """Stands in a real service where a custodian would: it answers every request with one envelope."""

    def __init__(self, key, message, name="bank-1"):
        self.key, self.message, self.name, self.heard = key, message, name, []

    def handle(self, request):
        self.heard.append(request)
        return self.key.seal(self.name, self.message)


def written_stop(cli, site):
    out = site.folder / "STOP"
    assert cli("roster", "stop", site.file, out).code == 0
    return out


# --- show


def test_show_lists_members_and_signatures(cli, site):
    ran = cli("roster", "show", site.roster)
    assert (ran.code, ran.err) == (0, "")
    keys = [key.public.hex()[:16] for key in (site.key(), site.other)]
    assert rows(ran.out) == [
        ["bank-1", "bank", "unspecified", "300", keys[0], "yes"],
        ["bank-2", "bank", "unspecified", "300", keys[1], "yes"],
    ]
    assert f"hash {load_roster(site.roster).digest().hex()}\n" in ran.out
    assert "version 1, valid to the end of 9999-12-31 (UTC), 600 records" in ran.out
    assert "replaces nothing" in ran.out


def test_show_tells_missing_from_wrong_signatures(cli, site):
    signatures = yaml.safe_load(site.roster.read_text())["signatures"]
    site.change("roster.yaml", signatures={"bank-1": signatures["bank-2"]})
    ran = cli("roster", "show", site.roster)
    assert ran.code == 0
    assert [row[-1] for row in rows(ran.out)] == ["does not hold", "no"]


def test_show_prints_a_pinned_node_key_in_full(cli, site):
    """An institution compares it with its own .pub file."""
    members = yaml.safe_load(site.roster.read_text())["members"]
    members[1]["node_key"] = OTHER_NODE_KEY
    site.change("roster.yaml", members=members)
    assert f"node key of bank-2: {OTHER_NODE_KEY}\n" in cli("roster", "show", site.roster).out
    assert f"node_key: {OTHER_NODE_KEY}\n" in site.roster.read_text()


def test_show_names_what_a_version_replaces(cli, site):
    first = load_roster(site.roster).digest().hex()
    site.change_roster(version=2, previous=first)
    assert f"replaces {first}\n" in cli("roster", "show", site.roster).out


def test_show_needs_a_roster(cli, folder):
    one_sentence(cli("roster", "show", folder / "none.yaml"), "ask the consortium's operator")


# --- sign


def test_members_sign_one_after_the_other(cli, unsigned, second):
    before = read_roster_file(unsigned.roster).roster
    ran = cli("roster", "sign", unsigned.roster, unsigned.file)
    assert (ran.code, ran.err) == (0, "")
    assert [row[0] for row in rows(ran.out)] == ["bank-1", "bank-2"]
    assert before.digest().hex() in ran.out
    assert "bank-1 signed" in ran.out
    assert list(read_roster_file(unsigned.roster).signatures) == ["bank-1"]
    assert cli("custodian", "check", unsigned.file).code == 1
    assert cli("roster", "sign", unsigned.roster, second).code == 0
    assert load_roster(unsigned.roster) == before
    assert cli("custodian", "check", unsigned.file).code == 0


def test_signing_twice_writes_nothing(cli, unsigned):
    cli("roster", "sign", unsigned.roster, unsigned.file)
    before = (unsigned.roster.read_bytes(), unsigned.roster.stat().st_ino)
    ran = cli("roster", "sign", unsigned.roster, unsigned.file)
    assert ran.code == 0
    assert "signed" in ran.out
    assert "already; nothing was written" in ran.out
    assert (unsigned.roster.read_bytes(), unsigned.roster.stat().st_ino) == before


def test_a_new_version_is_signed_beside_the_pinned_one(cli, site):
    pinned, new = site.roster.read_bytes(), site.folder / "new.yaml"
    old = load_roster(site.roster)
    document = yaml.safe_load(site.roster.read_text())
    new.write_text(yaml.safe_dump(document | {"version": 2, "previous": old.digest().hex()}))
    ran = cli("roster", "sign", new, site.file)
    assert ran.code == 0
    assert "took out signatures that do not hold for this roster: bank-2" in ran.out
    signed = read_roster_file(new)
    assert signed.roster.version == 2
    assert list(signed.signatures) == ["bank-1"]
    assert signed.holds("bank-1")
    assert site.roster.read_bytes() == pinned


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "bank-9"}, "bank-1 is not in roster"),
        ({"public_key": SigningKey.generate().public.hex()}, "another key for bank-1"),
        ({"kind": "hospital"}, "has bank-1 as a hospital"),
    ],
)
def test_only_a_member_signs(cli, unsigned, change, words):
    members = yaml.safe_load(unsigned.roster.read_text())["members"]
    unsigned.change("roster.yaml", members=[members[0] | change, members[1]])
    before = unsigned.roster.read_bytes()
    ran = cli("roster", "sign", unsigned.roster, unsigned.file)
    one_sentence(ran, words)
    assert str(unsigned.roster) in ran.err
    assert unsigned.roster.read_bytes() == before


# --- stop


def test_a_stop_is_this_members_signed_word_about_its_roster(cli, site):
    ran = cli("roster", "stop", site.file, site.folder / "STOP")
    assert (ran.code, ran.err) == (0, "")
    assert "bank-1 stops every job under roster version 1" in ran.out
    envelope = open_envelope((site.folder / "STOP").read_bytes())
    assert envelope.sender == "bank-1"
    assert envelope.verify(site.key().public) == StopRequest(load_roster(site.roster).digest())


def test_a_stop_overwrites_nothing(cli, site):
    one_sentence(cli("roster", "stop", site.file, site.file), "exists already", "never overwritten")
    one_sentence(cli("roster", "stop", site.file, site.folder / "none" / "STOP"), "choose another place")


def test_only_a_member_stops(cli, site):
    site.key_path.unlink()
    SigningKey.generate().save(site.key_path)
    one_sentence(cli("roster", "stop", site.file, site.folder / "STOP"), "another key for bank-1")
    assert not (site.folder / "STOP").exists()


# --- deliver


def test_a_stop_is_delivered_byte_for_byte(cli, site, second):
    """Bank 2 stops; bank 1 delivers it to its own custodian, as one of several on the socket."""
    stop = site.folder / "STOP"
    assert cli("roster", "stop", second, stop).code == 0
    reply = StopReply(load_roster(site.roster).digest(), 17)
    custodian, idle = Answers(site.key(), reply), Answers(site.other, reply, "bank-2")
    with CustodianService({"bank-2": idle, "bank-1": custodian}, site.socket):
        ran = cli("roster", "deliver", site.file, stop)
    assert (ran.code, ran.err) == (0, "")
    assert custodian.heard == [stop.read_bytes()]
    assert idle.heard == []
    assert f"no job under roster {reply.roster_hash.hex()[:16]} is answered any more" in ran.out
    assert "17 events" in ran.out


def test_a_custodian_takes_a_members_stop_and_no_strangers(cli, site, second):
    stop, forged = site.folder / "STOP", site.folder / "FORGED"
    assert cli("roster", "stop", second, stop).code == 0
    roster_hash = load_roster(site.roster).digest()
    forged.write_bytes(SigningKey.generate().seal("bank-2", StopRequest(roster_hash)))
    assert cli("ledger", "open", site.file).code == 0
    own = load_site(load_site_file(site.file))
    with Ledger.open(site.folder / "ledger.sqlite", own.key) as ledger:
        with CustodianService({"bank-1": Custodian(own, ledger)}, site.socket):
            one_sentence(cli("roster", "deliver", site.file, forged), "does not match its pinned key")
            before = ledger.event_count
            ran = cli("roster", "deliver", site.file, stop)
        assert (ran.code, ran.err) == (0, "")
        assert roster_hash.hex()[:16] in ran.out
        assert f"has {before + 1} events" in ran.out
        assert [event["event"] for event in ledger.events()][-1] == "stop"


def test_a_refused_stop_is_an_error(cli, site):
    stop = written_stop(cli, site)
    refusal = Refusal(envelope_hash(stop.read_bytes()), "roster", "this site pins another roster.")
    with CustodianService({"bank-1": Answers(site.key(), refusal)}, site.socket):
        one_sentence(cli("roster", "deliver", site.file, stop), "refused the stop: this site pins another roster.")


def test_an_answer_to_something_else_is_an_error(cli, site):
    stop = written_stop(cli, site)
    with CustodianService({"bank-1": Answers(site.key(), IdentifyReply(bytes(32)))}, site.socket):
        one_sentence(cli("roster", "deliver", site.file, stop), "answered a stop with IdentifyReply")


def test_an_answer_by_another_key_is_an_error(cli, site):
    stop = written_stop(cli, site)
    with CustodianService({"bank-1": Answers(site.other, StopReply(bytes(32), 1))}, site.socket):
        one_sentence(cli("roster", "deliver", site.file, stop), "does not match its pinned key")


def test_nobody_listens(cli, site):
    stop = written_stop(cli, site)
    one_sentence(cli("roster", "deliver", site.file, stop), "gave no answer (UNAVAILABLE)", "deliver the stop again")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "name the file that the member sent"),
        (b"no envelope", "holds no signed message"),
        (SigningKey.generate().seal("bank-2", IdentifyRequest(bytes(32))), "another message than a stop"),
    ],
)
def test_only_a_stop_is_delivered(cli, site, content, words):
    stop = site.folder / "STOP"
    if content is not None:
        stop.write_bytes(content)
    custodian = Answers(site.key(), StopReply(bytes(32), 1))
    with CustodianService({"bank-1": custodian}, site.socket):
        one_sentence(cli("roster", "deliver", site.file, stop), words)
    assert custodian.heard == []
