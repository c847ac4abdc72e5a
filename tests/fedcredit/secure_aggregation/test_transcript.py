"""The join transcript: every way in which a coordinator or a member could bring in a key, refused by name."""

import pytest

from fedcredit.errors import RefusalError
from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.secure_aggregation.transcript import PeerKey, read_transcript
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import IdentifyReply
from tests.fedcredit.secure_aggregation.joined import NAMES, PLAN_HASH, aliases, joined

JOINED = joined()
READER, PEER, OTHER = "bank-1", "bank-2", "hospital-1"


def read(joins, own=None, plan_hash=PLAN_HASH, roster=JOINED.roster):
    joins = joins if isinstance(joins, list) else list(joins.values())
    return read_transcript(plan_hash, roster, READER, JOINED.join(READER) if own is None else own, tuple(joins))


def refusal(joins, **settings):
    """The code with which joins are refused."""
    with pytest.raises(RefusalError) as caught:
        read(joins, **settings)
    return caught.value.code


def with_peer(**changes):
    """The true joins but for one that the peer signed differently."""
    return JOINED.joins() | {PEER: JOINED.join(PEER, **changes)}


def test_the_true_joins_are_read_in_roster_order():
    transcript = read(JOINED.joins())
    for peer, name in zip(transcript.peers, NAMES, strict=True):
        assert peer == PeerKey(name, JOINED.keys[name].public, 1, peer.head)
        assert (peer.head.institution, peer.head.event_count) == (name, 1)
    assert transcript.peer(PEER).agreement_key == JOINED.keys[PEER].public
    assert transcript.peer("bank-4") is None


def test_the_digest_names_the_plan_and_every_byte():
    joins = JOINED.joins()
    read_once = read(joins)
    assert read_once.digest == digest("join-transcript", PLAN_HASH, *joins.values())
    assert read(with_peer(nonce=bytes(32))).peers == read_once.peers
    assert read(with_peer(nonce=bytes(32))).digest != read_once.digest


@pytest.mark.parametrize("change", [{"event_count": 2}, {"event_hash": bytes(32)}, {"head_signature": bytes(64)}])
def test_a_ledger_head_that_its_owner_did_not_sign_is_refused(change):
    with pytest.raises(RefusalError) as caught:
        read(with_peer(**change))
    assert caught.value.code == "keys-head"


def test_every_reader_reads_the_same():
    assert len({JOINED.transcript(name) for name in NAMES}) == 1


def test_a_restarted_member_stands_with_its_new_epoch():
    assert read(with_peer(key_epoch=2, agreement_key=AgreementKey().public)).peer(PEER).key_epoch == 2


def test_members_may_be_missing_down_to_three():
    joins = JOINED.joins()
    assert len(read([joins[name] for name in ("bank-1", "bank-2", "hospital-1")]).peers) == 3
    assert refusal([joins[name] for name in ("bank-1", "bank-2")]) == "keys-few"
    assert refusal([joins[READER]]) == refusal([]) == "keys-few"


def test_a_stranger_is_refused():
    stranger = SigningKey.generate().seal("bank-4", IdentifyReply(bytes(32)))
    assert refusal([*JOINED.joins().values(), stranger]) == "keys-member"


def test_a_member_listed_twice_is_refused():
    joins = list(JOINED.joins().values())
    assert refusal([*joins, joins[-1]]) == refusal([*joins[:4], *joins[3:]]) == "keys-member"


def test_another_order_is_refused():
    assert refusal(list(JOINED.joins().values())[::-1]) == "keys-member"


@pytest.mark.parametrize("join", [b"", b"\x00", JOINED.join(PEER)[:-1], JOINED.join(PEER) + b"\x00"])
def test_bytes_that_are_no_envelope_are_refused(join):
    assert refusal(JOINED.joins() | {PEER: join}) == "keys-member"


def test_another_message_of_a_member_is_refused():
    message = JOINED.identities[PEER].seal(PEER, IdentifyReply(bytes(32)))
    assert refusal(JOINED.joins() | {PEER: message}) == "keys-member"


@pytest.mark.parametrize("field", ["plan_hash", "roster_hash", "agreement_key", "nonce"])
@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_signed_field_of_another_length_is_refused(field, length):
    assert refusal(with_peer(**{field: b"k" * length})) == "keys-member"


@pytest.mark.parametrize("signer", [READER, OTHER])
def test_a_substituted_key_is_refused(signer):
    """The coordinator swaps in its own key under the peer's name; it lacks the peer's identity key."""
    substituted = JOINED.join(PEER, signer=signer, agreement_key=AgreementKey().public)
    assert refusal(JOINED.joins() | {PEER: substituted}) == "keys-signature"


def test_a_changed_byte_under_an_old_signature_is_refused():
    join = JOINED.join(PEER)
    changed = join.replace(JOINED.keys[PEER].public, AgreementKey().public)
    assert changed != join
    assert refusal(JOINED.joins() | {PEER: changed}) == "keys-signature"


def test_an_unsigned_join_is_refused():
    join = JOINED.join(PEER)
    assert refusal(JOINED.joins() | {PEER: join[:-64] + bytes(64)}) == "keys-signature"


def test_our_own_join_must_stand_as_it_was_sent():
    joins = JOINED.joins()
    assert refusal([join for name, join in joins.items() if name != READER]) == "keys-own"
    assert refusal(joins | {READER: JOINED.join(READER, key_epoch=2)}) == "keys-own"
    assert refusal(joins | {READER: JOINED.join(READER, signer=PEER)}) == "keys-own"
    # A join from before a restart, whose key is gone.
    assert refusal(joins, own=JOINED.join(READER, key_epoch=2)) == "keys-own"
    assert refusal(joins, own=joins[PEER]) == "keys-own"


@pytest.mark.parametrize("victim", [READER, OTHER])
def test_a_copied_key_is_refused_in_every_encoding(victim):
    """The peer signs somebody else's key as its own; where that is the reader's, it is our key under another id."""
    public = JOINED.keys[victim].public
    for copied in (public, *aliases(public)):
        assert refusal(with_peer(agreement_key=copied)) == "keys-shared"


def test_a_key_of_small_order_is_refused():
    assert refusal(with_peer(agreement_key=bytes(32))) == "keys-zero"


def test_joins_of_another_job_are_refused():
    assert refusal(with_peer(plan_hash=b"p" * 32)) == "keys-job"
    assert refusal(with_peer(roster_hash=b"r" * 32)) == "keys-job"
    assert refusal(with_peer(roster_version=3)) == "keys-job"
    assert refusal(JOINED.joins(), plan_hash=b"p" * 32) == "keys-job"
    assert refusal(JOINED.joins(), roster=JOINED.roster.model_copy(update={"version": 5})) == "keys-job"


def test_an_epoch_before_the_first_is_refused():
    assert refusal(with_peer(key_epoch=0)) == "keys-epoch"
