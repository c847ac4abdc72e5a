"""Rosters for tests, with the keys of everybody in them."""

from datetime import date

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import strategies as st

from fedcredit.roster import Member, Roster
from fedcredit.roster_file import SignedRoster, sign_roster
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.node_keys import node_key_text

KEYS = {
    name: SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))
    for number, name in enumerate(("bank-1", "bank-2", "hospital-1", "hospital-2"), 1)
}
STRANGER = SigningKey.generate()
_NODE_KEYS = {name: derive_private_key(number, SECP384R1()) for number, name in enumerate(KEYS, 1)}
_OTHER = derive_private_key(99, SECP256R1())
NODE_KEYS = {name: node_key_text(key.public_key()) for name, key in _NODE_KEYS.items()}
OTHER_NODE_KEY = node_key_text(_OTHER.public_key())
# Their private halves, as files hold them.
NODE_FILES, OTHER_NODE_FILE = (
    {name: key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()) for name, key in _NODE_KEYS.items()},
    _OTHER.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
)


def roster(*names: str, **changes: object) -> Roster:
    members = [
        Member(id=name, kind=name.split("-")[0], public_size=400, public_key=KEYS[name].public.hex())
        for name in names or ("bank-1", "bank-2", "hospital-1")
    ]
    return Roster.model_validate({"version": 1, "expires": date(2030, 6, 30), "members": members, **changes})


def signed(one: Roster) -> SignedRoster:
    return SignedRoster(one, {member.id: sign_roster(one, KEYS[member.id]) for member in one.members})


REGIONS = st.text(st.sampled_from("aZ9 .,'()/&_-"), min_size=1, max_size=63)


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    names = draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, unique=True))
    version = draw(st.integers(1, 2**32 - 1))
    members = [
        {
            "id": name,
            "kind": draw(st.sampled_from(("bank", "hospital", "shop_2"))),
            "region": draw(REGIONS),
            "public_size": draw(st.integers(1, 10**12)),
            "public_key": KEYS[name].public.hex(),
            "node_key": draw(st.sampled_from((None, NODE_KEYS[name]))),
        }
        for name in names
    ]
    previous = None if version == 1 else draw(st.binary(min_size=32, max_size=32)).hex()
    return roster(version=version, previous=previous, expires=draw(st.dates()), members=members)


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[Roster, Roster]:
    """Two rosters that differ in one field of the roster, or of one member."""
    one = draw(rosters())
    position = draw(st.integers(0, len(one.members) - 1))
    member = one.members[position]
    of_member = {
        "id": "shop-1",
        "kind": f"not_{member.kind}",
        "region": "Oz" if member.region != "Oz" else "elsewhere",
        "public_size": member.public_size % 10**12 + 1,
        "public_key": STRANGER.public.hex(),
        "node_key": draw(st.sampled_from((None, OTHER_NODE_KEY))) if member.node_key else OTHER_NODE_KEY,
    }
    of_roster: dict[str, object] = {"expires": date.max if one.expires != date.max else date.min}
    if one.previous is not None:
        of_roster |= {
            "version": one.version - 1 if one.version > 2 else 3,
            "previous": digest("other", one.digest()).hex(),
        }
    field = draw(st.sampled_from([*of_member, *of_roster]))
    values = one.model_dump()
    if field in of_member:
        values["members"][position][field] = of_member[field]
    else:
        values[field] = of_roster[field]
    return one, Roster.model_validate(values)
