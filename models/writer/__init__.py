"""The writer: evidence → caption, by transformers or a decoder of its own."""
