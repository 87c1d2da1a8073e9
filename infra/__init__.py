"""Settings, logs, metrics, object store, embedded broker: what the other rooms stand on. Imports none of them."""
