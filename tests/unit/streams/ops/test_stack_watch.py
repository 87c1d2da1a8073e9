"""What hangs below `weft up`, told from what processes answer."""

from __future__ import annotations

from aiohttp import ClientSession

from infra.health import ProcessHealth
from infra.http import serve
from infra.metrics import Metrics
from streams.ops import stack_watch
from streams.ops.stack_watch import RoleHealth, Said, Watchdog, Watched
from tests.fakes.clock import FakeClock

WELL = Said({"enrich": RoleHealth(healthy=True)})
HUNG = Said({"enrich": RoleHealth(healthy=True), "caption": RoleHealth(healthy=False, stalled_seconds=200.0)})
BUSY = Said({"caption": RoleHealth(healthy=False, stalled_seconds=200.0, doing="a batch of write")})


class Looks:
    """A watchdog that looks every five seconds."""

    def __init__(self, *, ready: bool = True, silent_s: float = 60.0) -> None:
        self.clock = FakeClock()
        self.dog = Watchdog(silent_s, self.clock)
        self.process = Watched(11, "http://x", ready)

    def for_(self, seconds: int, said: Said | None) -> dict[str, str]:
        """What it says at the last look, nothing having been killed before it."""
        found: dict[str, str] = {}
        for _ in range(seconds // 5):
            assert not found, "killed too early"
            self.clock.advance(5)
            found = self.dog.look({"enrich": self.process}, {"enrich": said})
        return found


def test_a_process_that_does_not_answer_is_killed_in_time() -> None:
    """Not before the limit: a busy machine may keep it from answering for a while."""
    looks = Looks()
    assert looks.for_(600, WELL) == {}
    assert looks.for_(60, None) == {"enrich": "has not answered for 60 s"}


def test_an_answer_in_between_is_a_sign_of_life() -> None:
    """Silence counts from the last answer."""
    looks = Looks()
    assert looks.for_(55, None) == {}
    assert looks.for_(5, WELL) == {}
    assert looks.for_(55, None) == {}


def test_a_new_process_begins_anew_and_may_load_its_models() -> None:
    """Its predecessor's silence is not its own; until it takes work it may be silent for longer."""
    looks = Looks()
    looks.for_(60, None)
    looks.process = Watched(12, "", ready=False)
    assert looks.for_(300, None) == {}
    assert "enrich" in looks.for_(5, None)


def test_a_role_that_does_nothing_is_killed_unless_it_knows_why() -> None:
    """A long batch, or trouble that is waited for, is no reason; silence about it for half a minute is."""
    looks = Looks()
    assert looks.for_(900, BUSY) == {}
    assert looks.for_(30, HUNG) == {"enrich": "does nothing although work waits: caption (200 s)"}
    once = Looks()
    assert once.for_(25, HUNG) == {}
    assert once.for_(5, WELL) == {}
    assert once.for_(25, HUNG) == {}


def test_time_in_which_the_watchdog_itself_was_suspended_is_nobodys_silence() -> None:
    """Ctrl-Z and fg: the roles were suspended, too, and answer at the next look."""
    looks = Looks()
    looks.for_(30, WELL)
    looks.clock.advance(3600)
    assert looks.for_(55, None) == {}


def test_a_stack_without_a_broker_counts_anew_when_it_is_back() -> None:
    """What did nothing had a reason."""
    looks = Looks()
    looks.for_(25, HUNG)
    looks.dog.forget()
    assert looks.for_(30, HUNG) == {}


async def test_what_is_asked_is_what_a_worker_answers() -> None:
    """Over the wire: the reports of its roles; nothing where nobody listens."""
    clock = FakeClock()
    health = ProcessHealth(["enrich", "caption"], stall_seconds=60, clock=clock)
    metrics = Metrics("enrich+caption", roles=health)
    async with ClientSession() as session:
        async with serve(metrics, health) as url:
            assert await stack_watch.ask(session, url) == Said(
                {"enrich": RoleHealth(healthy=True), "caption": RoleHealth(healthy=True)}
            )
            metrics.of("caption").credits_held(1, 1)
            clock.advance(61)
            said = await stack_watch.ask(session, url)
            assert said is not None
            assert [role for role, one in said.roles.items() if stack_watch.hangs(one)] == ["caption"]
            metrics.of("caption").batch_started("write")
            said = await stack_watch.ask(session, url)
            assert said is not None
            assert said.roles["caption"] == RoleHealth(healthy=False, stalled_seconds=61.0, doing="a batch of write")
        assert await stack_watch.ask(session, url) is None
