"""Fixtures of the whole suite: a real Kafka (`kafka`, `kafka_factory`) and a real S3 server (`s3`)."""

pytest_plugins = ["tests.fixtures.kafka", "tests.fixtures.minio"]
