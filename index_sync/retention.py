"""How long the log keeps deletes; by itself, because who makes topics needs no index for it."""

DELETE_RETENTION_SECONDS = 24 * 3600.0
"""Kafka's default `delete.retention.ms`: how long a compacted topic surely keeps the record of a delete."""
