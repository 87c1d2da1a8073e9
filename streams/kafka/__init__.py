"""Kafka: how every client connects, one producer, one plain reader, and in `faust` all that is Faust's."""
