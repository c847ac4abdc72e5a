"""Which placement and masks follow from the configuration and the number of institutions."""

import copy
import itertools

import pytest

from fedcredit.errors import ConfigError
from fedcredit.plan import Placement
from simulations.comparisons import privacy_of_fewer, without_privacy
from simulations.placement import mask_label, masks_for, placement_for
from simulations.settings import Settings, read_settings
from simulations.simulation import compose_config

N_ROWS = 30_000
SIZES = (1, 2, 3, 4, 6, 50, 51)


@pytest.fixture(scope="module")
def composed() -> dict:
    return compose_config([])


def settings(composed: dict, n: int, *, placement: str = "auto", colluders: int = 1, masks: str = "auto") -> Settings:
    config = copy.deepcopy(composed)
    config["federation"].update(banks=n - n // 2, hospitals=n // 2)
    config["privacy"].update(placement=placement, colluders=colluders)
    if placement == "none":
        config["privacy"].update(epsilon=None, delta=None)
    return read_settings({**config, "masks": masks}, N_ROWS)


# Sizes at which distributed noise begins, by number of colluders.
@pytest.mark.parametrize(("colluders", "fewest"), [(0, 3), (1, 3), (2, 4), (4, 6), (48, 50)])
def test_auto_is_distributed_from_the_fewest_on(composed, colluders, fewest) -> None:
    for n in SIZES:
        privacy = settings(composed, n, colluders=colluders).job.privacy
        assert privacy.placement is (Placement.DISTRIBUTED if n >= fewest else Placement.LOCAL)
        assert privacy.colluders == colluders


@pytest.mark.parametrize(("colluders", "fewest"), [(0, 3), (1, 3), (2, 4), (4, 6)])
def test_distributed_needs_enough_institutions(composed, colluders, fewest) -> None:
    for n in range(1, 8):
        if n >= fewest:
            got = settings(composed, n, placement="distributed", colluders=colluders)
            assert got.job.privacy.placement is Placement.DISTRIBUTED
            continue
        with pytest.raises(ConfigError, match=rf"colluders={colluders} needs {fewest} .*got {n}; .*placement=local"):
            settings(composed, n, placement="distributed", colluders=colluders)


@pytest.mark.parametrize("placement", ["local", "central", "none"])
def test_any_other_placement_is_taken_at_its_word(composed, placement) -> None:
    for n, colluders in itertools.product(SIZES, (0, 1, 4)):
        assert settings(composed, n, placement=placement, colluders=colluders).job.privacy.placement == placement


@pytest.mark.parametrize("placement", ["auto", "local", "central", "none"])
def test_masks_are_on_from_3_to_50_whatever_the_placement(composed, placement) -> None:
    masked = {n: settings(composed, n, placement=placement).job.privacy.masks for n in SIZES}
    assert masked == {1: False, 2: False, 3: True, 4: True, 6: True, 50: True, 51: False}


def test_masks_off_is_taken_at_any_size(composed) -> None:
    for n, placement in itertools.product(SIZES, ("auto", "local", "none")):
        got = settings(composed, n, placement=placement, masks="off")
        assert got.job.privacy.masks is False
        assert got.job.privacy.placement is settings(composed, n, placement=placement).job.privacy.placement


def test_masks_on_is_taken_above_fifty_and_refused_below_three(composed) -> None:
    assert settings(composed, 51, masks="on").job.privacy.masks
    assert settings(composed, 3, masks="on").job.privacy.masks
    for n in (1, 2):
        with pytest.raises(ConfigError, match=rf"masks=on needs 3 institutions or more, got {n}.*use masks=auto"):
            settings(composed, n, masks="on")


@pytest.mark.parametrize("value", [False, True, "maybe", None])
def test_any_other_value_of_masks_is_refused(composed, value) -> None:
    with pytest.raises(ConfigError, match=r"^masks=.*'auto', 'on' or 'off'"):
        settings(composed, 6, masks=value)


@pytest.mark.parametrize("word", ["auto", "on", "off"])
def test_hydra_reads_masks_as_a_word(word) -> None:
    assert compose_config([f"masks={word}"])["masks"] == word


def test_what_was_asked_for_is_kept_beside_what_follows(composed) -> None:
    got = settings(composed, 2)
    assert (got.placement, got.masks) == ("auto", "auto")
    assert settings(composed, 6, placement="local", masks="off").placement == "local"


def test_labels_say_why_masks_are_off() -> None:
    assert mask_label(True, 3) == "on"
    assert {mask_label(False, n) for n in (3, 51, 1000)} == {"off (simulation)"}
    assert {mask_label(False, n) for n in (1, 2)} == {"off (fewer than 3 institutions)"}


# --- rivals


@pytest.mark.parametrize(("colluders", "enough"), [(0, 3), (1, 3), (2, 4)])
def test_a_rival_of_too_few_falls_back_to_local_noise(composed, colluders, enough) -> None:
    joint = settings(composed, 12, colluders=colluders).job
    assert joint.privacy.placement is Placement.DISTRIBUTED
    for n in range(1, 12):
        own = privacy_of_fewer(joint, n, "auto")
        assert own.placement is (Placement.DISTRIBUTED if n >= enough else Placement.LOCAL)
        assert own.masks is (n >= 3)
        assert (
            own.model_copy(update={"placement": joint.privacy.placement, "masks": joint.privacy.masks}) == joint.privacy
        )


@pytest.mark.parametrize("placement", ["local", "central", "none"])
def test_a_rival_keeps_any_other_placement(composed, placement) -> None:
    joint = settings(composed, 6, placement=placement).job
    assert {privacy_of_fewer(joint, n, "auto").placement for n in (1, 2, 3, 5)} == {Placement(placement)}


def test_a_rival_is_masked_by_what_was_asked_for_the_joint_job(composed) -> None:
    joint = settings(composed, 102, masks="auto").job
    assert not joint.privacy.masks
    assert privacy_of_fewer(joint, 50, "auto").masks
    assert not privacy_of_fewer(joint, 51, "auto").masks
    assert not privacy_of_fewer(joint, 50, "off").masks
    assert privacy_of_fewer(joint, 51, "on").masks
    assert not privacy_of_fewer(joint, 2, "on").masks


def test_alone_and_pooled_have_neither_noise_nor_masks(composed) -> None:
    alone = without_privacy(settings(composed, 6).job, "alone").privacy
    assert (alone.placement, alone.masks, alone.epsilon) == (Placement.NONE, False, None)


def test_settings_and_rivals_follow_one_rule(composed) -> None:
    """A rival of n institutions has what a joint job of n would have."""
    for n, colluders, masks in itertools.product(range(1, 8), (0, 1, 2), ("auto", "off")):
        joint = settings(composed, 8, colluders=colluders, masks=masks).job
        direct = settings(composed, n, colluders=colluders, masks=masks).job.privacy
        assert privacy_of_fewer(joint, n, masks) == direct
        assert direct.placement is placement_for(Placement.DISTRIBUTED, n, colluders, 1)
        assert direct.masks is masks_for(masks, n)
