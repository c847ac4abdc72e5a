"""The terminal view: what it shows of a job's folder, as a picture or as lines, and what it never shows."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from fedcredit.errors import ConfigError, JobError
from server.job_status import STATUS_FILE, Awaited, JobStatus
from server.results import write_files
from server.watch import duration, frame, look, rows, size, watch
from tests import tiny

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path):
    """A job that has come to its second round."""
    job = tiny.spec(tiny.LOCAL)
    consortium = tiny.federation(job)
    (tmp_path / "plan.json").write_bytes(consortium.plan.to_bytes())
    driver = tiny.coordinator(consortium, tmp_path / "job.sqlite")
    members = tiny.custodians(consortium, job)
    tiny.run(driver, members, until="train")
    step = driver.next_step()
    driver.receive({name: members[name].handle(request) for name, request in step.requests.items()})
    return tmp_path


def news(**changes):
    fields = {
        "state": "asking",
        "phase": "train",
        "round": 2,
        "attempt": 1,
        "members": ("bank-1", "hospital-1"),
        "bytes_out": 3 << 20,
        "bytes_in": 5000,
        "exchanges": 4,
        "seconds": (5.0, 5.2, 5.1),
        "steps_left": 3,
        "written": datetime.now(UTC),
    }
    return JobStatus.model_validate({**fields, **changes})


def put(folder, **changes):
    write_files(folder, {STATUS_FILE: news(**changes).model_dump_json().encode()})


def console(*, terminal=None):
    environment = {"TERM": terminal} if terminal else {}
    return Console(
        file=io.StringIO(), width=200, force_terminal=bool(terminal), color_system=None, _environ=environment
    )


def shown(folder):
    out = console()
    watch(folder, out, once=True)
    return out.file.getvalue()


def test_one_frame_shows_phase_round_privacy_waiting_traffic_and_refusals(folder):
    since = datetime.now(UTC) + timedelta(hours=-3, seconds=-5)
    waits = Awaited(institution="hospital-1", since=since, asked=2, fault="the node is away")
    put(folder, waiting=(waits,), refusals={"bank-2": "train 1: budget: the job's budget is used up"})
    text = " ".join(shown(folder).split())
    for words in (
        "job tiny, plan ",
        "privacy epsilon 4 at delta 1e-05 per record, noise local",
        "phase train 2 of 2",
        "steps 4 done, 3 left, about 15 s to go",
        "institutions 2 in the job; left out: bank-2",
        "waiting for hospital-1, for 3 h, asked 2 times: the node is away",
        "refused bank-2: train 1: budget: the job's budget is used up",
        "traffic 3.0 MiB out, 4.9 KiB in, 4 exchanges",
    ):
        assert words in text, text


def test_a_job_that_has_not_begun(tmp_path):
    (tmp_path / "plan.json").write_bytes(tiny.federation().plan.to_bytes())
    assert "not begun" in shown(tmp_path)


def test_a_coordinator_that_has_gone_quiet_is_said_to_be(folder):
    put(folder, written=NOW - timedelta(seconds=60))
    assert "the coordinator's process may have ended" in shown(folder)
    put(folder, state="stopped", reason="train has 2 of 3 institutions", written=NOW - timedelta(seconds=60))
    text = shown(folder)
    assert "may have ended" not in text
    assert "stopped: train has 2 of 3 institutions" in text


def test_an_institution_without_a_node_is_said_to_be_away(folder):
    put(folder, waiting=(Awaited(institution="bank-1", since=NOW),))
    assert "not online" in shown(folder)


def test_what_others_wrote_cannot_colour_or_forge_the_view(folder):
    put(folder, refusals={"bank-2": "[red]job[/red] done"})
    assert "[red]job[/red] done" in shown(folder)


def test_nothing_of_an_institution_s_own_budget_is_known():
    """The view is made of these fields and the plan; none of them is one."""
    assert set(JobStatus.model_fields) | set(Awaited.model_fields) == {
        "state", "reason", "phase", "round", "attempt", "members", "waiting", "refusals", "bytes_out", "bytes_in",
        "exchanges", "seconds", "steps_left", "written", "institution", "since", "asked", "fault",
    }  # fmt: skip


def following(folder, *changes):
    """A sleep in which the coordinator writes other news."""
    left = list(changes)
    return lambda _: put(folder, **left.pop(0))


@pytest.mark.parametrize("terminal", [None, "dumb"])
def test_without_a_terminal_that_can_redraw_each_change_is_a_line(folder, terminal):
    put(folder, waiting=(Awaited(institution="bank-1", since=NOW),))
    out = console(terminal=terminal)
    same = {"waiting": (Awaited(institution="bank-1", since=NOW),)}
    last = {"state": "done", "steps_left": 0}
    watch(folder, out, once=False, sleep=following(folder, same, {"phase": "evaluate", "round": 1}, last))
    lines = [line.split(" ", 1)[1] for line in out.file.getvalue().splitlines()]
    assert lines == ["train 2 of 2: waiting for bank-1", "evaluate", "done"]


def test_on_a_terminal_the_view_ends_with_the_job(folder):
    put(folder)
    out = console(terminal="xterm")
    watch(folder, out, once=False, sleep=following(folder, {"state": "done", "steps_left": 0}))
    assert "train 2 of 2" in out.file.getvalue()
    assert "done" in out.file.getvalue()


def test_a_folder_without_a_job_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no plan.json .*; name the folder of a job"):
        look(tmp_path)
    (tmp_path / "plan.json").write_bytes(tiny.federation().plan.to_bytes())
    (tmp_path / "job.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(JobError, match="cannot be read"):
        look(tmp_path)


def test_looking_changes_nothing(folder):
    put(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in {".json", ".sqlite"}}
    assert rows(look(folder))
    assert frame(look(folder)).row_count > 5
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in {".json", ".sqlite"}}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min"), (95, "1 min 35 s"), (7260, "2 h 1 min"), (3605, "1 h")]
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("n_bytes", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (3 << 30, "3.0 GiB")])
def test_sizes_are_for_people(n_bytes, text):
    assert size(n_bytes) == text
