"""What the numbers of error replies mean, in words for the coordinator's operator: what happened, and who can mend it.

Nodes send a number and no text. Those from 1000 on are the node's own (`clients.app.FAULTS`, which a test compares with
this table); the small ones are Flower's.
"""

from dataclasses import dataclass

INSTITUTION, OPERATOR = "the institution", "the coordinator's operator"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a node gave no answer.

    Attributes
    ----------
    name
        Short name, the same on both sides.
    sentence
        What happened.
    who, remedy
        Who can act, and how.
    passing
        Whether it may end by itself, so that asking again within the step can help.
    """

    name: str
    sentence: str
    who: str
    remedy: str
    passing: bool

    def words(self) -> str:
        """One line for the operator's console."""
        return f"{self.sentence} ({self.name}); {self.who} {self.remedy}"


_LOOKS = "looks into the node's log"
_RESTARTS = "sees to it that the node is started again, and to its network"
FAULTS = {
    0: Fault("flower-unknown", "Flower lost the message for an unknown reason", OPERATOR, "looks into its log", True),
    1: Fault("flower-load", "the node could not load its app", INSTITUTION, _LOOKS, False),
    2: Fault("flower-raised", "the node's app failed", INSTITUTION, _LOOKS, False),
    3: Fault("flower-message", "the message expired or was lost on its way", OPERATOR, "waits: it is sent again", True),
    4: Fault("flower-reply", "the reply was lost on its way", OPERATOR, "waits: it is asked for again", True),
    5: Fault("flower-node", "the node cannot be reached", INSTITUTION, _RESTARTS, True),
    6: Fault("flower-mod", "a part of the node's app refused the message", INSTITUTION, _LOOKS, False),
    7: Fault(
        "flower-bundle", "the node holds the app's bundle to be damaged", OPERATOR, "submits the job again", False
    ),
    8: Fault("flower-crashed", "the node's app stopped while it worked", INSTITUTION, _RESTARTS, True),
    1000: Fault("internal", "the node failed in a way that it does not know", INSTITUTION, _LOOKS, False),
    1001: Fault(
        "request-malformed", "the node found no request in the message", OPERATOR, "checks both sides' versions", False
    ),
    1002: Fault(
        "custodian-unnamed", "the node is not told of any custodian", INSTITUTION, "names it to the node", False
    ),
    1003: Fault(
        "custodian-unreachable",
        "the node does not reach its custodian",
        INSTITUTION,
        "starts it: fedcredit custodian serve SITE.yaml",
        True,
    ),
    1004: Fault(
        "custodian-timeout", "the custodian did not answer in time", INSTITUTION, "looks into the custodian's log", True
    ),
    1005: Fault(
        "institution-unknown",
        "the custodian behind the node is another institution's",
        INSTITUTION,
        "corrects the node's settings",
        False,
    ),
    1006: Fault(
        "custodian-failed", "the custodian failed on the request", INSTITUTION, "looks into the custodian's log", False
    ),
    1007: Fault(
        "bundle-unknown",
        "the node runs bundles that its institution has reviewed, and this is none of them",
        INSTITUTION,
        "reviews the bundle, adds its hash to NODE.yaml and sends the site runner SIGHUP",
        False,
    ),
    1008: Fault(
        "message-unknown", "the node answers no message of this type", OPERATOR, "checks both sides' versions", False
    ),
    1009: Fault(
        "custodian-token",
        "the custodian does not know the node's token",
        INSTITUTION,
        "gives both the same relay_token and starts them again",
        False,
    ),
}
NO_ENVELOPE = Fault(
    "no-envelope", "the node sent something that is no answer", OPERATOR, "checks both sides' versions", False
)
NOT_ACCEPTED = Fault(
    "not-accepted", "Flower did not accept the message for the node", OPERATOR, "looks into the SuperLink's log", True
)


def fault_of_code(code: int) -> Fault:
    """What an error reply's number means; a number of a newer node is told apart by itself."""
    known = FAULTS.get(code)
    if known is not None:
        return known
    return Fault(f"error {code}", "the node failed for a reason that is not known here", INSTITUTION, _LOOKS, False)
