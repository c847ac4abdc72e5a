"""What the institution's policy refuses: columns, regions, routes, hours. Pure functions, and then the custodian."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.custodian.guard_policy import guard_hours, guard_policy, regions_of, route_of
from fedcredit.custodian.policy import Policy
from fedcredit.errors import RefusalError
from fedcredit.wire.messages import Contribution, JoinReply, JoinRequest, Receipt, ReleaseRequest, Role
from simulations.federation import custodian_of
from tests import tiny
from tests.privacy_checks import addressed, agree, ask, changed, joined, refused, restarted, round_request

OFFICE = [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}]
HOURS = {"working_hours": OFFICE, "timezone": "Europe/Berlin"}
# A Monday: half past eight in Berlin, and half past seven.
OPEN, SHUT = datetime(2026, 11, 23, 7, 30, tzinfo=UTC), datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
RECORDED = {"cross_border": "recorded", "cross_border_basis": "standard clauses of 2026-05-01"}


@pytest.fixture(scope="module")
def site(consortium):
    return custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)._site


def with_policy(own, **changes):
    return Policy.model_validate({**own.model_dump(by_alias=True), **changes})


def placed(plan, *regions, coordinator=None):
    """The plan with its members, in order, in these regions."""
    roster = plan.roster.model_dump()
    roster["members"] = [{**one, "region": region} for one, region in zip(roster["members"], regions, strict=True)]
    return changed(plan, roster=roster, coordinator_region=coordinator)


def verdict(site, plan, **changes):
    """The code of the refusal, or None."""
    try:
        guard_policy(site, with_policy(site.policy, **changes), plan)
    except RefusalError as error:
        return error.code
    return None


# Columns.


def stated(site, **changes):
    features = tuple(
        one.model_copy(update=changes) if one.name == "status" else one for one in site.dictionary.features
    )
    return replace(site, dictionary=site.dictionary.model_copy(update={"features": features}))


@pytest.mark.parametrize("changes", [{"purpose": " "}, {"basis": "simulation"}, {"basis": "\t"}])
def test_a_column_that_states_no_purpose_or_basis_is_refused_where_the_policy_asks(site, consortium, changes):
    unfounded = stated(site, **changes)
    assert verdict(unfounded, consortium.plan, require_basis=True) == "basis"
    assert verdict(unfounded, consortium.plan) is None
    assert verdict(site, consortium.plan, require_basis=True) is None


def test_another_types_columns_are_its_own_affair(site, consortium):
    features = tuple(
        one.model_copy(update={"basis": " "}) if one.block == "hospital" else one for one in site.dictionary.features
    )
    others = replace(site, dictionary=site.dictionary.model_copy(update={"features": features}))
    assert verdict(others, consortium.plan, require_basis=True) is None


# Regions and routes.


@pytest.mark.parametrize(
    ("regions", "coordinator", "changes", "code"),
    [
        (("DE", "DE", "DE"), None, {}, None),
        (("DE", "DE", "DE"), "DE", {}, None),
        (("DE", "DE", "DE"), "US", {}, "route"),
        (("DE", "FR", "DE"), "DE", {}, "route"),
        (("DE", "FR", "DE"), "DE", {"cross_border": "allow"}, None),
        (("DE", "FR", "DE"), None, {"cross_border": "allow"}, None),
        (("DE", "FR", "DE"), "DE", RECORDED, None),
        (("DE", "FR", "DE"), None, RECORDED, "route"),
        (("DE", "FR", "unspecified"), "DE", RECORDED, "route"),
        (("DE", "FR", "DE"), "unspecified", RECORDED, "route"),
        (("DE", "DE", "DE"), None, RECORDED, None),
        (("DE", "DE", "DE"), None, {"regions": ["DE"]}, "region"),
        (("DE", "DE", "DE"), "DE", {"regions": ["DE"]}, None),
        (("DE", "DE", "DE"), "US", {"regions": ["DE"]}, "region"),
        (("DE", "FR", "DE"), "DE", {"regions": ["DE"], "cross_border": "allow"}, "region"),
        (("DE", "FR", "DE"), "FR", {"regions": ["FR", "DE"], "cross_border": "allow"}, None),
        (("DE", "DE", "unspecified"), "DE", {"regions": ["DE"], "cross_border": "allow"}, "region"),
        # Its own region is no other member's.
        (("CH", "DE", "DE"), "DE", {"regions": ["DE"], "cross_border": "allow"}, None),
    ],
)
def test_where_members_and_coordinator_may_be(site, consortium, regions, coordinator, changes, code):
    assert verdict(site, placed(consortium.plan, *regions, coordinator=coordinator), **changes) == code


REGIONS = st.sampled_from(["DE", "FR", "US", "unspecified"])


@given(st.tuples(REGIONS, REGIONS, REGIONS), st.none() | REGIONS)
def test_no_route_is_let_through_that_is_not_recorded_in_full(site, consortium, regions, coordinator):
    plan = placed(consortium.plan, *regions, coordinator=coordinator)
    own = with_policy(site.policy, **RECORDED)
    route = route_of(site, own, plan)
    if len({*regions, *([coordinator] if coordinator else [])}) == 1:
        assert route is None
    elif verdict(site, plan, **RECORDED) is None:
        reached = {route["own_region"], route["coordinator_region"], *route["other_regions"]}
        assert reached == {*regions, coordinator} == set(regions_of(plan))
        assert "unspecified" not in reached
        assert route["basis"] == RECORDED["cross_border_basis"]


RULES = st.sampled_from([{}, RECORDED, {"regions": ["DE"]}, {"regions": ["DE", "FR"], "cross_border": "allow"}])


@given(RULES, st.tuples(REGIONS, REGIONS, REGIONS), st.none() | REGIONS)
def test_a_refusal_never_turns_on_the_order_of_the_others(site, consortium, changes, regions, coordinator):
    first = placed(consortium.plan, *regions, coordinator=coordinator)
    second = placed(consortium.plan, regions[0], regions[2], regions[1], coordinator=coordinator)
    assert verdict(site, first, **changes) == verdict(site, second, **changes)


def abroad(consortium, coordinator="DE"):
    """A consortium whose hospital is in another region, and its bank's site."""
    plan = placed(consortium.plan, "DE", "DE", "FR", coordinator=coordinator)
    bank = custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)
    return plan, bank


def test_a_recorded_route_stands_in_the_ledger(consortium):
    plan, bank = abroad(consortium)
    own = with_policy(bank._site.policy, **RECORDED)
    there = restarted(bank, policy=own, roster=plan.roster)
    assert isinstance(ask(consortium, there, JoinRequest(plan.to_bytes())), JoinReply)
    assert there.ledger.job(plan.digest()).terms["route"] == {
        "own_region": "DE",
        "coordinator_region": "DE",
        "other_regions": ["DE", "FR"],
        "basis": RECORDED["cross_border_basis"],
    }


def test_a_route_is_recorded_only_where_the_policy_asks(consortium):
    plan, bank = abroad(consortium)
    there = restarted(bank, policy=with_policy(bank._site.policy, cross_border="allow"), roster=plan.roster)
    ask(consortium, there, JoinRequest(plan.to_bytes()))
    assert "route" not in there.ledger.job(plan.digest()).terms


def test_a_cross_border_plan_is_refused_by_default(consortium):
    plan, bank = abroad(consortium)
    refused(ask(consortium, restarted(bank, roster=plan.roster), JoinRequest(plan.to_bytes())), "route")


# Working hours.


def test_the_guard_on_hours_names_them(site):
    own = with_policy(site.policy, **HOURS)
    guard_hours(own, OPEN)
    with pytest.raises(RefusalError, match=r"mon, tue, wed, thu, fri 08:00 to 18:00 \(Europe/Berlin\)") as found:
        guard_hours(own, SHUT)
    assert found.value.code == "hours"
    guard_hours(site.policy, SHUT)


def at(bank, now, **changes):
    """The same site at another time, its keys kept: no restart."""
    site = replace(bank._site, policy=with_policy(bank._site.policy, **HOURS), now=lambda: now, **changes)
    bank._site = bank._jobs._site = site
    return bank


def test_outside_of_the_hours_nothing_new_is_joined(consortium):
    bank = custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)
    join = JoinRequest(consortium.plan.to_bytes())
    refused(ask(consortium, at(bank, SHUT), join), "hours")
    assert bank.ledger.event_count == 1
    assert isinstance(ask(consortium, at(bank, OPEN), join), JoinReply)
    # A join that is known is answered at any hour, and so is a restart's: neither reads a record.
    assert isinstance(ask(consortium, at(bank, SHUT), join), JoinReply)
    assert isinstance(ask(consortium, at(restarted(bank), SHUT), join), JoinReply)


def test_outside_of_the_hours_nothing_new_is_contributed_and_what_was_is_sent_again(consortium):
    bank = joined(consortium, tiny.spec())
    first = round_request(consortium, Role.PREFLIGHT, b"")
    refused(ask(consortium, at(bank, SHUT), first), "hours")
    assert not bank.ledger.charges(consortium.plan.digest())
    sealed = consortium.coordinator_key.seal("coordinator", addressed(at(bank, OPEN), first))
    sent = bank.handle(sealed)
    assert isinstance(ask(consortium, bank, first), Contribution)
    assert at(bank, SHUT).handle(sealed) == sent
    assert len(bank.ledger.charges(consortium.plan.digest())) == 1
    assert isinstance(ask(consortium, at(bank, SHUT), ReleaseRequest(consortium.plan.digest(), b"{}")), Receipt)


def test_asked_again_within_the_hours_the_same_request_is_answered(consortium):
    """What a resumed coordinator does: a refusal for the hour cost nothing, no attempt either."""
    bank = joined(consortium, tiny.spec())
    first = round_request(consortium, Role.PREFLIGHT, b"")
    sealed = consortium.coordinator_key.seal("coordinator", addressed(bank, first))
    at(bank, SHUT).handle(sealed)
    at(bank, OPEN).handle(sealed)
    (charge,) = bank.ledger.charges(consortium.plan.digest())
    assert charge["attempt"] == 1


def test_keys_are_agreed_on_at_any_hour(consortium):
    bank = custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)
    ask(consortium, at(bank, OPEN), JoinRequest(consortium.plan.to_bytes()))
    agree(consortium, tiny.spec(), at(bank, SHUT))


def test_a_clock_that_was_set_back_moves_hours_and_expiry_and_no_budget(consortium):
    """The rule holds by whatever clock the machine has; what was charged stays charged."""
    bank = joined(consortium, tiny.spec())
    first = round_request(consortium, Role.PREFLIGHT, b"")
    assert isinstance(ask(consortium, at(bank, OPEN), first), Contribution)
    spent = bank.ledger.job(consortium.plan.digest()).spent
    back = at(bank, OPEN.replace(year=2019, day=25))
    assert isinstance(ask(consortium, back, first), Contribution)
    assert back.ledger.job(consortium.plan.digest()).spent == spent


def test_a_roster_expires_by_the_sites_clock(consortium):
    roster = {**consortium.plan.roster.model_dump(), "expires": "2026-11-23"}
    plan = changed(consortium.plan, roster=roster)
    bank = custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)
    join = JoinRequest(plan.to_bytes())
    late = datetime(2026, 11, 24, tzinfo=UTC)
    refused(ask(consortium, restarted(bank, roster=plan.roster, now=lambda: late), join), "expired")
    assert isinstance(ask(consortium, restarted(bank, roster=plan.roster, now=lambda: OPEN), join), JoinReply)
