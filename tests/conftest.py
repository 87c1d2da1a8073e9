"""Fixtures of the whole suite: a real Kafka (`kafka`, `kafka_factory`), a real S3 server (`s3`), a running stack (`up`)."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure: no property is timed.
settings.register_profile("weft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("weft")

pytest_plugins = [
    "tests.fixtures.kafka",
    "tests.fixtures.s3_servers",
    "tests.fixtures.secure_kafka",
    "tests.fixtures.stack",
]
