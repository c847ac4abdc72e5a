"""A coordinator as a process: the real coordinator and its store, and what carries the packets without Flower.

Every packet is written down before it is sent and as soon as it has come, before the coordinator sees it.
"""

import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import clients.relay
from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.errors import RefusalError
from fedcredit.job.store import Decided, JobStore
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import SigningKey
from server.coordinator import Coordinator, Step
from tests.crash.passages import Tracer

ANSWER_WITHIN_S = 60.0


def lead(folder: Path, tracer: Tracer) -> None:
    """Go on with the job in a folder until it is done."""
    job = json.loads((folder / "job.json").read_text())
    plan = (folder / "plan").read_bytes()
    dictionary = parse_dictionary((folder.parent / "dictionary.yaml").read_bytes())
    with JobStore(folder / "job.sqlite", plan) as store, ThreadPoolExecutor(len(job["sockets"])) as pool:
        tracer.write(resumed=[written(one) for one in store.steps()])
        key = SigningKey.load(folder.parent / "coordinator.pem")
        note = lambda decided, _: tracer.write(decided=written(decided))  # noqa: E731
        coordinator = Coordinator(plan, dictionary, key, store, on_decided=note)
        while (step := coordinator.next_step()) is not None:
            sent = [pool.submit(carry, step, name, job["sockets"][name], tracer) for name in step.requests]
            waiting = tuple(step.requests) or coordinator.take({})
            for name, reply in (one.result() for one in as_completed(sent)):
                waiting = waiting if reply is None else coordinator.take({name: reply})
            if waiting:
                coordinator.receive({})


def carry(step: Step, name: str, socket: str, tracer: Tracer) -> tuple[str, bytes | None]:
    """One packet there and its answer back; None if none came."""
    request = step.requests[name]
    packet = {"institution": name, "step": [step.phase, step.round, step.attempt], "request": request.hex()}
    tracer.write(asks=packet)
    try:
        reply = clients.relay.relay(socket, request, None, ANSWER_WITHIN_S)
    except RefusalError as error:
        tracer.write(unanswered=packet, error=str(error))
        return name, None
    tracer.write(got={**packet, "reply": reply.hex()})
    return name, reply


def written(decided: Decided) -> list[object]:
    """A stored step as JSON values."""
    sums = digest("sums", decided.sums.tobytes()).hex()
    step = [decided.phase, decided.round, decided.attempt]
    return [*step, decided.outcome.value, list(decided.members), list(decided.rejoining), sums]
