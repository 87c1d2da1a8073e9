"""Search across shards: queries that wait for answers."""
