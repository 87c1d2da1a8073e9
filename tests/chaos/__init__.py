"""Chaos: kill everything, at seeded moments, and check from the topics and the store that nobody could tell.

`python -m tests.chaos --help`; `make chaos N=100`. docs/reliability.md says what was found and measured.
"""
