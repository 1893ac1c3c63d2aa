"""Metrics of serial boards. Boards and keys are labels: the settings list them, so that there are few."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

STATES = ("rest", "pressed", "fault")
TROUBLES = ("lost", "nonsense")


class BoardMetrics:
    """Emergency keys, and the boards that they hang on."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge("avisiod_board_up", "1 when the board answers.", ["board"], registry=registry)
        self._keys = Gauge(
            "avisiod_emergency_key",
            "1 for the state that an emergency key is in: rest, pressed, or fault, where it would do nothing.",
            ["board", "key", "state"],
            registry=registry,
        )
        self._cut = Counter(
            "avisiod_emergency_cut_calls", "Calls that an emergency key ended.", ["board", "key"], registry=registry
        )
        self._troubles = Counter(
            "avisiod_board_troubles",
            "Ports that went or could not be opened (lost), answers without sense (nonsense).",
            ["board", "what"],
            registry=registry,
        )
        self._before: dict[tuple[str, str], int] = {}

    def listed(self, board: str, keys: Iterable[str]) -> None:
        """A board of the settings: every series is there from the start."""
        self._up.labels(board)
        for what in TROUBLES:
            self._troubles.labels(board, what)
        for key in keys:
            self._cut.labels(board, key)
            self.key(board, key, "fault")

    def key(self, board: str, key: str, state: str) -> None:
        """A key is so now."""
        for each in STATES:
            self._keys.labels(board, key, each).set(each == state)

    def answers(self, board: str, *, up: bool) -> None:
        """Whether a board answers."""
        self._up.labels(board).set(up)

    def cut(self, board: str, key: str, calls: int) -> None:
        """A key has ended so many calls."""
        self._cut.labels(board, key).inc(calls)

    def troubles(self, board: str, what: str, total: int) -> None:
        """Since the start."""
        before = self._before.get((board, what), 0)
        self._before[board, what] = total
        self._troubles.labels(board, what).inc(max(0, total - before))
