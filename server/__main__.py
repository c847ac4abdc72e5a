"""``python -m server``: what the coordinator's operator types. Errors are one sentence and exit code 1."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from fedcredit.ending import run as run_command
from fedcredit.errors import ConfigError
from server.bundle import bundle_hash, bundle_of_clone
from server.certificate_renewal import ask, files_of, renew, take
from server.checks import Check, run_checks
from server.coordinator_file import CoordinatorFile, load_coordinator_file
from server.job_status import read_status
from server.new_job import NewJob, compose, write_job
from server.plan_file import load_plan_file
from server.plan_words import plan_summary
from server.queue import Queue, QueuedJob, State
from server.serve import serve as run_coordinator
from server.watch import watch as show

app = typer.Typer(
    name="python -m server",
    help="The coordinator: an untrusted machine that asks, adds and decides.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Coordinator = Annotated[
    Path, typer.Argument(metavar="COORDINATOR.yaml", help="From 'consortium init'.", show_default=False)
]
PlanPath = Annotated[Path, typer.Argument(metavar="PLAN.yaml", help="What the job shall be.", show_default=False)]
Job = Annotated[str, typer.Argument(metavar="JOB", help="Its name, as 'status' lists it.", show_default=False)]


@app.command()
def serve(coordinator: Coordinator) -> None:
    """Run the coordinator: the SuperLink, the ServerApp's SuperExec and the dispatcher."""
    file = load_coordinator_file(coordinator)
    rows = run_checks(file)
    if any(row.fault for row in rows):
        _print_checks(rows)
        raise typer.Exit(1)
    run_coordinator(coordinator, file)


@app.command()
def check(coordinator: Coordinator) -> None:
    """Check everything that 'serve' needs; exit with 1 if anything is wrong."""
    rows = run_checks(load_coordinator_file(coordinator))
    _print_checks(rows)
    if any(row.fault for row in rows):
        raise typer.Exit(1)


@app.command()
def certificate(
    coordinator: Coordinator,
    *,
    ca_key: Annotated[
        Path | None, typer.Option(help="The consortium's CA key, if it does not lie beside its certificate.")
    ] = None,
    signed: Annotated[Path | None, typer.Option(help="The certificate that another CA made of our request.")] = None,
) -> None:
    """Renew the TLS certificate: with the consortium's CA key at once, else by a request that your CA signs."""
    if signed is not None and ca_key is not None:
        raise ConfigError("--signed and --ca-key are two ways to one certificate; give the one that you have.")
    files, now = files_of(load_coordinator_file(coordinator), ca_key), datetime.now(UTC)
    if signed is not None:
        typer.echo(take(files, signed, now))
    elif ca_key is not None or files.ca_key.exists():
        typer.echo(renew(files, now))
    else:
        typer.echo(ask(files))


@app.command()
def plan(
    coordinator: Coordinator,
    plan_file: PlanPath,
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for plan.json, for members who want to read it.")] = None,
) -> None:
    """Say what a job would ask of everybody; nothing is queued."""
    job = _planned(load_coordinator_file(coordinator), plan_file)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "plan.json").write_bytes(job.plan.to_bytes())
        typer.echo(f"written: {out / 'plan.json'}")


@app.command()
def submit(coordinator: Coordinator, plan_file: PlanPath) -> None:
    """Plan a job and put it into the queue; a coordinator that serves starts it."""
    file = load_coordinator_file(coordinator)
    job = _planned(file, plan_file)
    with Queue(file.queue) as queue:
        queue.require_new(job.plan.job)
        write_job(file, job)
        queue.submit(job.plan.job)
    typer.echo(f"job {job.plan.job} is queued; follow it with: python -m server watch {coordinator} {job.plan.job}")


@app.command()
def status(
    coordinator: Coordinator,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """List the jobs, the first to run first."""
    file = load_coordinator_file(coordinator)
    with Queue(file.queue) as queue:
        rows = [_status(file, job, queue.runs_of(job.name)) for job in queue.jobs()]
    if as_json:
        typer.echo(json.dumps({"jobs": rows}, indent=2, ensure_ascii=False))
        return
    table = Table(
        Column("job", no_wrap=True), "state", "phase", "runs", "since", "reason", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for row in rows:
        cells = (row["job"], row["state"], row["phase"], row["runs"], row["since"], row["reason"])
        table.add_row(*(escape(str(cell or "")) for cell in cells))
    Console().print(table)


@app.command()
def watch(
    coordinator: Coordinator,
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="By default the job whose turn it is.")] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Show it as it is now, and return.")] = False,
) -> None:
    """Show a running job: phase, round, who is waited for, traffic, refusals."""
    file = load_coordinator_file(coordinator)
    with Queue(file.queue) as queue:
        chosen = queue.current() if job is None else queue.job(job)
    if chosen is None:
        raise ConfigError(f"no job runs or waits; name one, or list them: python -m server status {coordinator}")
    show(file.job_folder(chosen.name), Console(), once=once)


@app.command()
def stop(coordinator: Coordinator, job: Job) -> None:
    """Stop a job; what it decided so far is kept."""
    with Queue(load_coordinator_file(coordinator).queue) as queue:
        state = queue.ask_to_stop(job)
    typer.echo(f"job {job} is stopped" if state is State.STOPPED else f"job {job} is being stopped")


@app.command()
def resume(coordinator: Coordinator, job: Job) -> None:
    """Put a stopped or failed job back into the queue; it goes on from its last decided step."""
    with Queue(load_coordinator_file(coordinator).queue) as queue:
        queue.resume(job)
    typer.echo(f"job {job} is queued")


@app.command()
def bundle(*, out: Annotated[Path | None, typer.Option(help="Write the bundle to a file, for review.")] = None) -> None:
    """Build the app bundle of this clone and print the hash that institutions list in NODE.yaml."""
    built = bundle_of_clone()
    if out is not None:
        out.write_bytes(built)
    typer.echo(bundle_hash(built))


def _planned(file: CoordinatorFile, plan_file: Path) -> NewJob:
    job = compose(file, load_plan_file(plan_file))
    for line in plan_summary(job.plan, job.quorum):
        typer.echo(line)
    return job


def _status(file: CoordinatorFile, job: QueuedJob, runs: int) -> dict[str, str | int | None]:
    news = read_status(file.job_folder(job.name)) if job.state is State.RUNNING else None
    phase = None if news is None else f"{news.phase} {news.round}"
    waiting = "" if news is None else ", ".join(one.institution for one in news.waiting)
    return {
        "job": job.name,
        "state": "stopping" if job.stop_asked else job.state.value,
        "phase": phase,
        "runs": runs,
        "since": f"{datetime.fromtimestamp(job.changed, UTC):%Y-%m-%d %H:%M:%S}",
        "reason": "; ".join(filter(None, [job.reason, f"waits for {waiting}" if waiting else ""])),
    }


def _print_checks(rows: list[Check]) -> None:
    table = Table("check", "result", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what was found, and the remedy", overflow="fold")
    for row in rows:
        table.add_row(row.name, "fault" if row.fault else "ok", escape(row.fault or row.found))
    Console().print(table)


def main() -> None:
    """Run the command line; exit with 1 on any error of our own."""
    run_command(app)


if __name__ == "__main__":
    main()
