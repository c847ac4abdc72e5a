"""The policy file: what it must say, what a jurisdiction adds to it, and that nothing in a pack ever loosens it."""

import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedcredit.custodian.jurisdiction import Approval, CrossBorder, Jurisdiction, Pack, load_pack
from fedcredit.custodian.policy import Policy, load_policy, stricter
from fedcredit.errors import ConfigError
from fedcredit.plan import PrivacyUnit

ROOT = Path(__file__).resolve().parents[3]
JURISDICTIONS = get_args(Jurisdiction)
BASIC = {"epsilon": 1.0, "delta": 1e-6, "max_epsilon_per_job": 1.0, "unit": "record", "purposes": ["scorecard"]}
CLASSES = ("public", "private", "sensitive", "sensitive-health")
REGIONS = ("CN", "DE", "FR", "US")
ORDER = {CrossBorder.ALLOW: 0, CrossBorder.RECORDED: 1, CrossBorder.REFUSE: 2}


def policy(**changes):
    return Policy.model_validate({**BASIC, **changes})


def written(tmp_path, **changes):
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump({**BASIC, **changes}))
    path.chmod(0o644)
    return path


# What a policy must say.


def test_a_missing_policy_is_no_policy(tmp_path):
    with pytest.raises(ConfigError, match="without a policy everything is refused"):
        load_policy(tmp_path / "policy.yaml")


@pytest.mark.parametrize("missing", sorted(BASIC))
def test_no_limit_of_the_budget_has_a_default(missing):
    with pytest.raises(ValidationError, match=missing):
        Policy.model_validate({key: value for key, value in BASIC.items() if key != missing})


def test_the_defaults_are_the_cautious_ones():
    own = policy()
    assert own.refused_classes == ("sensitive-health",)
    assert own.cross_border is CrossBorder.REFUSE
    assert (own.working_hours, own.regions, own.jurisdiction) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"working_hours": [{"days": ["mon"], "from": "08:00", "to": "18:00"}]}, "belong together"),
        ({"timezone": "Europe/Berlin"}, "belong together"),
        ({"working_hours": [], "timezone": "UTC"}, "working_hours"),
        ({"regions": []}, "regions"),
        ({"regions": ["DE", "unspecified"]}, "could be anywhere"),
        ({"cross_border": "recorded"}, "cross_border_basis"),
        ({"cross_border": "recorded", "cross_border_basis": "  "}, "cross_border_basis"),
        ({"cross_border_basis": "SCC"}, "cross_border_basis"),
        ({"approval": "later"}, "approval"),
        ({"jurisdiction": "mars"}, "jurisdiction"),
    ],
)
def test_a_rule_that_says_half_is_refused(tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words) as found:
        load_policy(written(tmp_path, **changes))
    assert "\n" not in str(found.value)


# The packs.


@pytest.mark.parametrize("name", JURISDICTIONS)
def test_a_pack_can_be_read_and_says_what_it_is(name):
    pack = load_pack(name)
    assert date.fromisoformat(f"{pack.as_of}-01") <= date(2026, 11, 1)
    assert pack.require_basis
    assert pack.min_institutions == 3
    assert pack.cross_border is not CrossBorder.ALLOW


def test_the_packs_refuse_what_their_laws_bar():
    assert "sensitive-health" in load_pack("eu").refused_classes
    assert {"sensitive", "sensitive-health"} == set(load_pack("us").refused_classes)
    assert "sensitive-health" in load_pack("cn").refused_classes
    assert load_pack("cn").regions == ("CN",)
    assert {load_pack("eu").unit, load_pack("cn").unit} == {PrivacyUnit.PERSON}
    manual = {name for name in JURISDICTIONS if load_pack(name).approval is Approval.MANUAL}
    assert manual == {"eu", "cn", "research"}


@pytest.mark.parametrize("name", JURISDICTIONS)
def test_a_pack_is_a_starting_point_and_judges_nothing(name):
    text = (ROOT / "fedcredit" / "custodian" / "packs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert "not legal advice" in text or "not this file" in text
    assert "starting point" in text.lower()
    assert "compliant" not in text.lower()


@pytest.mark.parametrize("name", JURISDICTIONS)
def test_a_policy_names_a_pack_and_gets_its_demands(tmp_path, name):
    pack = load_pack(name)
    own = load_policy(written(tmp_path, jurisdiction=name, unit="person", refused_classes=[], min_institutions=1))
    assert own.refused_classes == pack.refused_classes
    assert (own.approval, own.min_institutions, own.require_basis) == (pack.approval, 3, True)
    assert own.cross_border is CrossBorder.REFUSE
    assert own.regions == pack.regions


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"jurisdiction": "eu"}, "unit: person"),
        ({"jurisdiction": "us", "cross_border": "allow"}, "cross_border_basis"),
        ({"jurisdiction": "cn", "unit": "person", "regions": ["DE"]}, "none of CN"),
    ],
)
def test_what_a_pack_cannot_add_by_itself_is_asked_for(tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words) as found:
        load_policy(written(tmp_path, **changes))
    assert "\n" not in str(found.value)


# Stricter: never looser than either.


def classes():
    return st.lists(st.sampled_from(CLASSES), unique=True).map(tuple)


def regions():
    return st.none() | st.lists(st.sampled_from(REGIONS), unique=True, min_size=1).map(tuple)


@st.composite
def policies(draw):
    cross_border = draw(st.sampled_from(CrossBorder))
    return policy(
        unit=draw(st.sampled_from(PrivacyUnit)),
        refused_classes=draw(classes()),
        require_basis=draw(st.booleans()),
        min_institutions=draw(st.integers(1, 9)),
        approval=draw(st.sampled_from(Approval)),
        regions=draw(regions()),
        cross_border=cross_border,
        cross_border_basis="clauses" if cross_border is CrossBorder.RECORDED else None,
    )


packs = st.builds(
    Pack,
    as_of=st.just("2026-11"),
    unit=st.none() | st.sampled_from(PrivacyUnit),
    refused_classes=classes(),
    require_basis=st.booleans(),
    approval=st.sampled_from(Approval),
    min_institutions=st.integers(1, 9),
    regions=regions(),
    cross_border=st.sampled_from(CrossBorder),
)


def no_looser(result, than):
    """Whether everything that `than` refuses is refused by `result`, field by field."""
    return all(
        (
            set(than.refused_classes) <= set(result.refused_classes),
            result.require_basis or not than.require_basis,
            result.min_institutions >= than.min_institutions,
            result.approval is Approval.MANUAL or than.approval is Approval.AUTOMATIC,
            than.regions is None or (result.regions is not None and set(result.regions) <= set(than.regions)),
            ORDER[result.cross_border] >= ORDER[than.cross_border],
            than.unit is not PrivacyUnit.PERSON or result.unit is PrivacyUnit.PERSON,
        )
    )


@given(policies(), packs)
def test_the_effective_policy_is_never_looser_than_policy_or_pack(own, pack):
    try:
        result = stricter(own, pack)
    except ConfigError:
        assume(False)
    assert no_looser(result, own)
    assert no_looser(result, pack)
    # Nor stricter than it need be: each rule is one of the two.
    assert set(result.refused_classes) == {*own.refused_classes, *pack.refused_classes}
    assert result.min_institutions in (own.min_institutions, pack.min_institutions)
    assert result.cross_border in (own.cross_border, pack.cross_border)
    assert Policy.model_validate(result.model_dump(by_alias=True)) == result


@given(policies(), packs)
def test_what_cannot_be_joined_into_one_policy_is_refused_for_a_reason(own, pack):
    no_region = own.regions is not None and pack.regions is not None and not set(own.regions) & set(pack.regions)
    weaker_unit = pack.unit is PrivacyUnit.PERSON and own.unit is PrivacyUnit.RECORD
    no_basis = own.cross_border is CrossBorder.ALLOW and pack.cross_border is CrossBorder.RECORDED
    if no_region or weaker_unit or no_basis:
        with pytest.raises(ConfigError):
            stricter(own, pack)
    else:
        stricter(own, pack)


@given(policies())
def test_a_pack_without_demands_changes_nothing(own):
    assert stricter(own, Pack(as_of="2026-11")) == own


def test_the_wheel_holds_the_packs(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("fedcredit-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"fedcredit/custodian/packs/{name}.yaml" for name in JURISDICTIONS} <= names
