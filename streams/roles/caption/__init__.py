"""The caption role: an item becomes a caption."""
