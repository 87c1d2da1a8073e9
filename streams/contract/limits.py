"""How much a record may hold: bounds that the types of EVENTS.md cannot express."""

from __future__ import annotations

MAX_ID_BYTES = 512
MAX_INLINE_IMAGE_BYTES = 2**20
MAX_URI_BYTES = 4096
MAX_TOP_K = 1000
MAX_DEPTH = 10_000
"""Hits that may be paged through: `offset` and the hits of the page together."""
MAX_EDITS = 20
MAX_COUNTED = 20
MAX_FIELDS = 100
MAX_DEADLINE_MS = 600_000
MAX_FACETS = 100
MAX_FILTER_VALUES = 1000
MAX_FACET_NAME = 128
MAX_DIMENSION = 16_384
MAX_TEXT = 20_000
MAX_COMPARED = 64
"""Products whose vectors one probe may ask for, and how many of each: some 400 kB of an answer at the very most."""
MAX_COMPARED_VIEWS = 12
