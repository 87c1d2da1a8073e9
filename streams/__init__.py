"""What flows: records, topics, the engine, one module a role, dead letters, the CLI and the composition root."""
