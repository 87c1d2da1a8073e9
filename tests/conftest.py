"""Fixtures of the whole suite: a real Kafka (`kafka`, `kafka_factory`), a real S3 server (`s3`), a running stack (`up`)."""

pytest_plugins = [
    "tests.fixtures.kafka",
    "tests.fixtures.minio",
    "tests.fixtures.secure_kafka",
    "tests.fixtures.stack",
]
