"""Which Flower node speaks for which institution, proved by the institution's pinned key.

Flower numbers nodes afresh whenever a SuperNode restarts, and anybody whom Flower admits is a node. So each
unknown node is asked to sign a fresh nonce, and only a signature by a member of the roster gives it a place
in the job. A node that answers anything else is asked again a little later: its custodian may still be
starting.
"""

from collections.abc import Callable

from fedcredit.errors import RefusalError, WireError
from server.coordinator import Coordinator
from server.flower_adapter import Grid, Message, envelope_of, fault_of, pull, push, request

ASK_AGAIN_S = 5.0


class RollCall:
    """The nodes of one job.

    Parameters
    ----------
    grid
        Flower's nodes and their messages.
    coordinator
        Makes the questions and checks the proofs.
    announce
        Receives one line per event, for the operator.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        grid: Grid,
        coordinator: Coordinator,
        announce: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._grid, self._coordinator, self._announce, self._clock = grid, coordinator, announce, clock
        self._node_of: dict[str, int] = {}
        self._asked: dict[str, tuple[int, bytes]] = {}
        self._not_before: dict[int, float] = {}

    def online(self) -> set[int]:
        """List the nodes that Flower holds to be online; it notices a dead one within a minute."""
        return set(self._grid.get_node_ids())

    def present(self) -> dict[str, int]:
        """Map each institution whose proved node is online to that node."""
        online = self.online()
        return {name: node for name, node in self._node_of.items() if node in online}

    def advance(self, ttl_s: float) -> None:
        """Ask every unknown node who it is, and take the proofs that have arrived; does not wait.

        Parameters
        ----------
        ttl_s
            Seconds for which a question is worth answering.
        """
        questions = {node: self._coordinator.identify_request() for node in self._due()}
        sent = push(self._grid, [request(node, asks, ttl_s, "identify") for node, asks in questions.items()])
        self._asked |= {message_id: (node, questions[node]) for message_id, node in sent.items()}
        for message_id, reply in pull(self._grid, self._asked).items():
            self._admit(*self._asked.pop(message_id), reply)

    def _due(self) -> list[int]:
        asked = {node for node, _ in self._asked.values()}
        unknown = self.online() - set(self._node_of.values()) - asked
        return sorted(node for node in unknown if self._clock() >= self._not_before.get(node, 0.0))

    def _admit(self, node: int, question: bytes, reply: Message) -> None:
        self._not_before[node] = self._clock() + ASK_AGAIN_S
        envelope = envelope_of(reply)
        if envelope is None:
            self._announce(f"node {node} did not say who it is: {fault_of(reply)}")
            return
        try:
            name = self._coordinator.identify(question, envelope)
        except (RefusalError, WireError) as error:
            self._announce(f"node {node} has no place in this job: {error}")
            return
        self._node_of[name] = node
        self._announce(f"{name} is node {node}")
