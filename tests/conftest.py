"""Fixtures of the whole suite: a real Kafka (`kafka`, `kafka_factory`), a real S3 server (`s3`), a running stack (`up`)."""

import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: no property is timed.
settings.register_profile("weft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("weft")

# Two processes share the cores: with a thread a core each, those of one wait, spinning, for those of the other.
# Here, before anything imports numpy or torch, and for all processes that tests start.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "WEFT_THREADS"):
    os.environ.setdefault(name, "1")

# Their asserts, too, say what they compared.
pytest.register_assert_rewrite("tests.fixtures.engine_role", "tests.fixtures.index_bench")

ROOMS = ("integration", "contract")
LONGEST = (
    "test_generations",
    "test_engine_kafka",
    "test_index_role",
    "test_restarts",
    "test_order_and_topics",
    "test_engine_topics",
    "test_cli",
    "test_chaos",
    "test_main_job",
    "test_operations",
    "test_embedded_broker",
    "test_hostile",
    "test_replay",
    "test_demo",
)
"""Files of the integration tests that take a minute and more, the longest first."""
pytest_plugins = [
    "tests.fixtures.kafka",
    "tests.fixtures.postgres",
    "tests.fixtures.s3_servers",
    "tests.fixtures.secure_kafka",
    "tests.fixtures.stack",
]


def pytest_configure() -> None:
    """A suite that a shell starts in the background ignores Ctrl-C, and so would every process that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: a full collection of garbage, which the code under test asks for
    where memory runs out, took a third of a second to look through it in vain.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start servers come first, and of those the longest: begun last, one of them would keep one process busy and
    leave the others idle.
    """

    def place(item: pytest.Item) -> tuple[int, int]:
        room = next((n for n, room in enumerate(ROOMS) if room in item.path.parts), len(ROOMS))
        return room, LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)

    items.sort(key=place)
