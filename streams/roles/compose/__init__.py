"""The compose role: a shopper's query becomes a result."""
