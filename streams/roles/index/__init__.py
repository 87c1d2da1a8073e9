"""The index role: items become searchable, probes become hits."""
