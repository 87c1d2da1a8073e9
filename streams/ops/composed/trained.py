"""A trained composer in the place of the image: by its vector alone, and beside the facets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.ports import Composer, Composition, TextEncoder
from processors import fusion
from processors.values import Vector
from streams.roles.compose.asked import Embedded


@dataclass(frozen=True, slots=True)
class Trained:
    """What `weft eval composed --composer` asks.

    Args:
        composer: in the space of the encoder that serves.
        texts: the encoder of the words.
    """

    composer: Composer
    texts: TextEncoder

    def vector(self, image: Vector, words: str, facets: Mapping[str, str]) -> Vector:
        """The query of a reference and the words that were typed; `facets`: what is known of the reference."""
        caption = fusion.caption_of(facets)
        item = Composition(image, self._of(words), self._of(caption) if caption else None, words)
        return self.composer.finish(item, self.composer.forward([self.composer.prepare(item)])[0])

    def lead(self, embedded: Embedded) -> Embedded:
        """The query with this vector where the image stands in the inner product over facets."""
        prepared = embedded.prepared
        reference = prepared.asked.reference
        image = embedded.image if embedded.image is not None else reference.vector
        if image is None or not prepared.reading.typed:
            return embedded
        return replace(embedded, image=self.vector(image, prepared.reading.typed, dict(reference.facets)))

    def _of(self, text: str) -> Vector:
        return self.texts.finish(text, self.texts.forward([self.texts.prepare(text)])[0])
