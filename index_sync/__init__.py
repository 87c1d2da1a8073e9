"""The sharded index as a materialised view of `catalog.items`: segments, shard, manifest, replay, search."""
