"""The tests, importable from the repository root (`tests.fixtures`, `tests.fakes`)."""
