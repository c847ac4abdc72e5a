"""No import path runs at an institution that has not listed its file, whatever its data are."""

import sys
from dataclasses import replace

import pytest

from fedcredit.custodian.site import NotPrivate
from fedcredit.custodian.site_file import SiteFile
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.wire.messages import JoinReply, JoinRequest
from simulations.federation import allowed_modules, custodian_of
from tests import own_module, tiny
from tests.privacy_checks import ask, refused, restarted

pytestmark = pytest.mark.neural

PATH = f"{own_module.PATH}:ResidualNet"


@pytest.fixture(scope="module")
def job():
    model = ModuleSpec(module=PATH, source_sha256=own_module.source_sha256(), rounds=1, sampling_rate=0.25)
    return replace(tiny.spec(), model=model)


@pytest.fixture(scope="module")
def consortium(job):
    return tiny.federation(job)


@pytest.fixture
def bank(consortium, job):
    return custodian_of(consortium, consortium.institutions[0], job, None)


def join(consortium, custodian):
    return ask(consortium, custodian, JoinRequest(consortium.plan.to_bytes()))


def test_a_listed_module_joins(consortium, bank):
    assert allowed_modules(consortium.plan) == {PATH: own_module.source_sha256()}
    assert isinstance(join(consortium, bank), JoinReply)


@pytest.mark.parametrize("policy", ["own", NotPrivate("public")])
@pytest.mark.parametrize(
    "listed",
    [{}, {PATH: "0" * 64}, {f"{own_module.PATH}:Tied": own_module.source_sha256()}, {"": own_module.source_sha256()}],
)
def test_an_unlisted_path_or_hash_is_refused(consortium, bank, policy, listed):
    changes = {"modules": listed} | ({} if policy == "own" else {"policy": policy})
    reply = join(consortium, restarted(bank, **changes))
    refused(reply, "module")
    assert PATH in reply.text
    assert own_module.source_sha256() in reply.text


def test_a_module_taken_off_the_list_is_refused_after_a_restart(consortium, bank):
    assert isinstance(join(consortium, bank), JoinReply)
    refused(join(consortium, restarted(bank, modules={})), "module")


def test_an_unlisted_file_is_neither_read_nor_run(consortium, bank, monkeypatch):
    def fail(*_):
        raise AssertionError("looked for the file")

    monkeypatch.setattr("fedcredit.models.module_loading.read_source", fail)
    monkeypatch.setattr("fedcredit.custodian.guard.family_of", fail)
    monkeypatch.setattr("fedcredit.terms.family_of", fail)
    refused(join(consortium, restarted(bank, modules={})), "module")


def test_where_torch_is_missing_a_listed_module_is_refused(consortium, bank, monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus", None)
    reply = join(consortium, bank)
    refused(reply, "module")
    assert "needs opacus; run: pip install 'fedcredit[neural]'" in reply.text


def test_no_module_is_listed_by_default():
    assert SiteFile.model_fields["modules"].get_default(call_default_factory=True) == {}
