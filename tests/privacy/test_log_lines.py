"""Log lines: an institution's log is read by more people than its records, so no line says anything about a record.

Every format is on a list here that somebody has read, and whole jobs at the loudest level log no number that follows
from the rows before noise.
"""

import ast
import re
from pathlib import Path

import pytest

from fedcredit.wire.messages import Role
from tests import privacy_checks as checks
from tests import step_traces, tiny

LIBRARY = Path(__file__).resolve().parents[2] / "fedcredit"
METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
# What each may say: names, codes, fixed sentences and paths. A line that is not here has not been looked at.
FORMATS = {
    "audit/trail.py": {
        "the audit trail could not be ended",
        "the ledger could not be read for the audit trail",
        "audit trail %s cannot be written (%s); check its disk.",
    },
    "cli/serve.py": {"persons who stand in several rows are refused"},
    "custodian/custodian.py": {
        "request failed at %s",
        "%s stopped every job under this site's roster",
        "%s refused a request (%s): %s",
    },
    "models/module_gradients.py": {
        "the module failed on a record, which counts as zeros",
        "the module failed on a record, which scores 0",
    },
    "scoring/block_service.py": {"a call failed", "no peer is answered: %s"},
    "scoring/http_face.py": {"a call failed", "a connection ended early", "nobody is decided on: %s"},
    "scoring/service.py": {"a call failed", "nobody is decided on: %s"},
}


def test_every_format_is_on_the_list():
    found: dict[str, set[str]] = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and _logs(call.func):
                name = path.relative_to(LIBRARY).as_posix()
                first = call.args[0]
                assert isinstance(first, ast.Constant), f"{name}:{call.lineno} logs a text that was put together"
                found.setdefault(name, set()).add(first.value)
    assert found == FORMATS


def _logs(function: ast.expr) -> bool:
    """Whether a call is one of a logger's, or of `logging` or `warnings` themselves."""
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return False
    whose, method = function.value.id, function.attr
    return (whose in {"_LOG", "logging", "logger", "log"} and method in METHODS) or (whose, method) == (
        "warnings",
        "warn",
    )


def numbers_of(text: str) -> set[int]:
    return {abs(int(number)) for number in re.findall(r"(?<![0-9a-zA-Z.])-?\d+(?![0-9a-zA-Z])", text)}


@pytest.mark.parametrize(
    "job", [tiny.spec(), tiny.spec(tiny.SHARED), step_traces.job(rounds=1)], ids=["local", "distributed", "local steps"]
)
def test_a_whole_job_logs_no_number_of_the_rows(job, caplog):
    """The honest job, one refused round and one failure inside."""
    caplog.set_level("DEBUG")
    consortium = tiny.federation(job)
    driver, members = tiny.coordinator(consortium), tiny.custodians(consortium, job)
    secret = set()
    while (step := driver.next_step()) is not None:
        secret |= exact_numbers(consortium, members, step)
        driver.receive({name: members[name].handle(request) for name, request in step.requests.items()})
    over = checks.round_request(consortium, Role.TRAIN, b"x", round_=99)
    checks.refused(checks.ask(consortium, members["bank-1"], over), "job")
    assert len(secret) > 50
    logged = [record for record in caplog.records if record.name.split(".")[0] in {"fedcredit", "server", "root"}]
    assert logged  # the refusal at least
    for record in logged:
        assert not (numbers_of(record.getMessage()) & secret), record.getMessage()
        assert record.msg in set().union(*FORMATS.values())


def exact_numbers(consortium, members, step):
    """What the institutions' rows give before noise at this step: counts, sums, and the sums' sums."""
    numbers = set()
    for name, request in step.requests.items():
        site = members[name]._site
        numbers |= {site.data.train.n_rows, site.data.evaluate.n_rows}
        message = checks.open_envelope(request).verify(consortium.coordinator_key.public)
        if isinstance(message, checks.RoundRequest):
            exact = checks.exact_sums(members[name], consortium.plan, message.role, message.model)
            numbers |= {abs(int(value)) for value in exact} | {int(abs(exact).sum()), abs(int(exact.sum()))}
    return {number for number in numbers if number > 20}  # smaller ones name rounds and versions
