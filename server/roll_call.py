"""Which Flower node speaks for which institution.

Flower numbers nodes, and anybody whom Flower admits is a node. Where the roster pins the key of an institution's node
and the Grid knows the nodes' keys, the node with that key is the institution's, and no other node gets its place: who
it claims to be is known without a question, and what it says is proved by the institution's signature on each answer.
Any other node is asked to sign a fresh nonce, and only a signature by a member of the roster gives it a place in the
job. A node that answers anything else is asked again a little later: its custodian may still be starting.
"""

from collections.abc import Callable

from fedcredit.errors import RefusalError, WireError
from server.coordinator import Coordinator
from server.flower_adapter import Grid, Message, envelope_of, fault_of, nodes, pull, push, request


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
    ask_again_s
        Pause before a node that did not say who it is is asked again.
    """

    def __init__(
        self,
        grid: Grid,
        coordinator: Coordinator,
        announce: Callable[[str], None],
        clock: Callable[[], float],
        ask_again_s: float,
    ) -> None:
        self._grid, self._coordinator, self._announce, self._clock = grid, coordinator, announce, clock
        self._ask_again_s = ask_again_s
        self._pinned = coordinator.node_keys
        self._all_pinned = set(self._pinned) >= set(coordinator.institutions)
        self._node_of: dict[str, int] = {}
        self._asked: dict[str, tuple[int, bytes]] = {}
        self._not_before: dict[int, float] = {}
        self._foreign: set[int] = set()
        self._online: dict[int, str | None] = {}
        self._key_of: dict[int, str | None] = {}
        self.exchanges = 0

    @property
    def online(self) -> int:
        """How many nodes Flower held to be online at the last look; it notices a dead one within a minute."""
        return len(self._online)

    def present(self) -> dict[str, int]:
        """Look which nodes are online; map each institution whose node is to that node."""
        self._online = nodes(self._grid)
        self._key_of |= self._online
        node_of_key = {key: node for node, key in self._online.items() if key is not None}
        for name, key in self._pinned.items():
            if key in node_of_key and self._node_of.get(name) != node_of_key[key]:
                self._seat(name, node_of_key[key], ", by its pinned key")
        return {name: node for name, node in self._node_of.items() if node in self._online}

    def advance(self, ttl_s: float) -> None:
        """Ask every unknown node who it is, and take the proofs that have arrived; does not wait.

        Parameters
        ----------
        ttl_s
            Seconds for which a question is worth answering.
        """
        self.present()
        questions = {node: self._coordinator.identify_request() for node in self._due()}
        sent = push(self._grid, [request(node, asks, ttl_s, "identify") for node, asks in questions.items()])
        self.exchanges += bool(sent)
        self._asked |= {message_id: (node, questions[node]) for message_id, node in sent.items()}
        for message_id, reply in pull(self._grid, self._asked).items():
            self._admit(*self._asked.pop(message_id), reply)

    def _due(self) -> list[int]:
        asked = {node for node, _ in self._asked.values()}
        unknown = set(self._online) - set(self._node_of.values()) - asked
        ready = (node for node in unknown if self._clock() >= self._not_before.get(node, 0.0))
        return sorted(node for node in ready if self._may_ask(node))

    def _may_ask(self, node: int) -> bool:
        """Whether a node can be anybody's: not if all keys are pinned and its own is none of them."""
        if not self._all_pinned or self._online[node] is None:
            return True
        if node not in self._foreign:
            self._foreign.add(node)
            self._announce(
                f"node {node} is not asked for anything: the roster pins its key for no member; if it is a member's, "
                "start it with the pinned key, or put the new key into the next version of the roster"
            )
        return False

    def _admit(self, node: int, question: bytes, reply: Message) -> None:
        self._not_before[node] = self._clock() + self._ask_again_s
        envelope = envelope_of(reply)
        if envelope is None:
            self._announce(f"node {node} did not say who it is: {fault_of(reply).words()}")
            return
        try:
            name = self._coordinator.identify(question, envelope)
        except (RefusalError, WireError) as error:
            self._announce(f"node {node} has no place in this job: {error}")
            return
        key = self._key_of[node]
        if key is not None and self._pinned.get(name, key) != key:
            self._announce(
                f"node {node} has no place in this job: it speaks for {name}, but its key is not the one that the "
                f"roster pins for {name}; {name} starts it with the pinned key, or all sign a roster with the new one"
            )
            return
        self._seat(name, node, "")

    def _seat(self, name: str, node: int, how: str) -> None:
        self._node_of[name] = node
        self._announce(f"{name} is node {node}{how}")
