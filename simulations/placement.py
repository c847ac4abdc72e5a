"""Where a job's noise is added and whether its vectors are masked: rules on the number of institutions alone.

The joint job and its rivals follow the same rules, so that a rival of fewer institutions is protected as well as its
size allows. Nothing can be masked between two: whoever knows one vector and the sum knows the other.
"""

from typing import Literal

from fedcredit.models.descent_spec import DescentSpec
from fedcredit.models.specs import ModelSpec
from fedcredit.plan import Placement
from fedcredit.privacy.shares import fewest_members
from fedcredit.roster import FEWEST_MEMBERS

AUTO = "auto"
Masks = Literal["auto", "on", "off"]
MaskLabel = Literal["on", "off (simulation)", "off (fewer than 3 institutions)"]
MOST_MASKED = 50
"""Largest cohort that is masked without being asked: every pair of institutions has a mask of its own."""


def placement_for(wanted: Placement, n_institutions: int, colluders: int, local_steps: int) -> Placement:
    """The wanted placement, or local noise where institutions are too few for shares, or take steps of their own."""
    if wanted is Placement.DISTRIBUTED and (n_institutions < fewest_members(colluders) or local_steps > 1):
        return Placement.LOCAL
    return wanted


def local_steps_of(model: ModelSpec) -> int:
    """Noised steps that an institution takes before it sends; families made of bins know one only."""
    return model.local_steps if isinstance(model, DescentSpec) else 1


def masks_for(asked: Masks, n_institutions: int) -> bool:
    """Whether vectors are masked: never between fewer than three, and by default not between more than fifty."""
    most = n_institutions if asked == "on" else MOST_MASKED
    return asked != "off" and FEWEST_MEMBERS <= n_institutions <= most


def mask_label(masks: bool, n_institutions: int) -> MaskLabel:
    """How artefacts name the masks, and why they are off."""
    if masks:
        return "on"
    return "off (simulation)" if n_institutions >= FEWEST_MEMBERS else "off (fewer than 3 institutions)"
