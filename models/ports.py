"""The ports of all models. A model is split in three, so that the device only ever sees `forward`:

    prepare (CPU threads, per item)  →  forward (the one device thread, per batch)  →  finish (CPU threads, per item)

`models.guard.Guarded` wraps any `Model` with the checks every model needs (length and order, warm-up, timing,
halving a batch that does not fit the memory), so that no adapter repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.context.telling import StoryRequest
from processors.editing.mask import EditMask
from processors.values import Detection, Evidence, Pixels, Vector

In = TypeVar("In")
Out = TypeVar("Out", covariant=True)
Ready: TypeAlias = Any
"""What `prepare` makes and `forward` takes: the adapter's own business (a tensor, token ids …)."""
Raw: TypeAlias = Any
"""What `forward` returns for one item and `finish` takes."""


class Model(Protocol[In, Out]):
    """One model. `prepare` and `finish` are pure and thread-safe; `forward` is called by one thread at a time."""

    @property
    def fingerprint(self) -> str:
        """`sha256:…` over the weights and everything else that changes the output (size, prompt, thresholds)."""
        ...

    def prepare(self, item: In, /) -> Ready:
        """CPU work for one item. Raises `Poison` when this item can never be processed."""
        ...

    def forward(self, batch: Sequence[Ready], /) -> list[Raw]:
        """Device work: same length, same order. Raises `Retryable` (out of memory) or anything else (bisected)."""
        ...

    def finish(self, item: In, raw: Raw, /) -> Out:
        """CPU work for one result."""
        ...

    def example(self) -> In:
        """An item that drives warm-up."""
        ...


@runtime_checkable
class GivesWay(Protocol):
    """A model whose batches take seconds, and consist of steps between which others may be served."""

    def give_way_to(self, urgent: Callable[[], None]) -> bool:
        """Call `urgent` between two steps of a batch, on the thread of the batch; it may call `forward`, with other items.

        Returns:
            Whether it will be called.
        """
        ...


@runtime_checkable
class HoldsToGrammar(Protocol):
    """A writer that may hold its answers to the grammar of their evidence (`processors.grounded`)."""

    @property
    def grounded(self) -> bool:
        """Whether it does."""
        ...


View: TypeAlias = Literal["", "photo", "garment"]
"""What of a product's photo a model is shown: nothing, all of it, or the garment that is sold."""


@runtime_checkable
class LooksAtPhotos(Protocol):
    """A writer that writes from pixels: whoever asks it hands them over (`WriterRequest.pixels`). For others no photo is loaded."""

    @property
    def looks(self) -> View:
        """At what."""
        ...


def view_of(writer: object) -> View:
    """What of the photo a writer looks at."""
    return writer.looks if isinstance(writer, LooksAtPhotos) else ""


class Detector(Model[Pixels, tuple[Detection, ...]], Protocol):
    """Pixels → garments, in descending confidence; boxes in pixels of the array that went in."""


class FaceDetector(Model[Pixels, tuple[Detection, ...]], Protocol):
    """Pixels → faces, in descending confidence; boxes in pixels of the array that went in. It says nothing of whose they are."""


@runtime_checkable
class SeesFaint(Protocol):
    """A detector that can also tell what it is less sure of, from the same pass."""

    def faint(self, item: Pixels, raw: Raw, /) -> tuple[Detection, ...]:
        """As `finish`, and behind it the boxes of lower confidence."""
        ...


def unwatched(_done: int, _of: int) -> None:
    """Nobody waits."""


@dataclass(frozen=True, slots=True)
class Inpaint:
    """A garment that is to be painted.

    Attributes:
        pixels: the photo.
        mask: what may change.
        worn: what is to be seen there: words ("a red dress"), and the photo of the garment on a white ground, or None.
        seed: of the noise that it begins with.
        steps: of the diffusion.
        watch: called with the steps that are done and how many there are, every few of them, on the thread of the batch. Raises
            `Poison` where nobody wants it any more: the others of the batch go on.
    """

    pixels: Pixels
    mask: EditMask
    worn: tuple[tuple[str, Pixels | None], ...]
    seed: int = 0
    steps: int = 50
    watch: Callable[[int, int], None] = unwatched


class Inpainter(Model[Inpaint, Pixels], Protocol):
    """Paints garments into photos: outside the mask nothing changes."""

    @property
    def method(self) -> str:
        """As it stands in results."""
        ...


class PoseEstimator(Protocol):
    """Where the joints of a person are."""

    @property
    def fingerprint(self) -> str: ...

    def maps(self, pixels: Pixels, height: int, width: int, /) -> NDArray[np.float32]:
        """(18, height, width), 0..1: how likely each of the 18 joints of OpenPose is there."""
        ...


class ImageEncoder(Model[Pixels, Vector], Protocol):
    """Pixels → L2-normalised vector of `dimension` floats, in the same space as the `TextEncoder` of its family.

    The same pass gives what facets are read from (`processors.facets`): no photo goes through a network twice.
    """

    @property
    def dimension(self) -> int: ...

    @property
    def features_maker(self) -> str:
        """Fingerprint of what `features` gives: heads that were fitted for another maker are not applied."""
        ...

    def features(self, raw: Raw, /) -> Vector:
        """What facets are read from, (n,) float32 of any scale, of one result of `forward`."""
        ...


@runtime_checkable
class RefusesTexts(Protocol):
    """In the place of a `TextEncoder` where the space has no text tower: `prepare` raises `Poison` for every text."""

    @property
    def refuses(self) -> str:
        """Why, as a sentence for whoever asks; "" where it refuses none."""
        ...


class TextEncoder(Model[str, Vector], Protocol):
    """Text → L2-normalised vector of `dimension` floats."""

    @property
    def dimension(self) -> int: ...


class WriterRequest(msgspec.Struct, frozen=True):
    """A caption to write. `seed` makes sampling repeatable; `tone` is one of `processors.captions.TONES`.

    `pixels`: the photo, or the garment's part of it, for writers that look (`LooksAtPhotos`).
    """

    evidence: Evidence
    tone: str
    seed: int
    pixels: Pixels | None = None


class Writer(Model[WriterRequest, str], Protocol):
    """Evidence → the raw text of a language model, to be parsed and verified by `processors.captions`."""

    @property
    def prompt_fingerprint(self) -> str:
        """`sha256:…` of the prompt template."""
        ...


class Storyteller(Model[StoryRequest, str], Protocol):
    """Sentences of an article and a picture → one sentence of both, to be checked by `processors.context.telling`."""


class Composition(msgspec.Struct, frozen=True):
    """What a composed query starts from, and how that is to differ.

    Args:
        image: the reference in the encoder's space, (dimension,) float32 of length 1.
        text: the words of the change in the same space.
        caption: what the reference is, in words, in the same space; None where nobody knows it. It may be wrong.
        words: the words of the change, for composers that read them themselves.
        pixels: the reference's photo, for composers that look at it themselves; None where it is not at hand.
    """

    image: Vector
    text: Vector
    caption: Vector | None = None
    words: str = ""
    pixels: Pixels | None = None


class Composer(Model[Composition, Vector], Protocol):
    """A reference and a change → one L2-normalised vector, to be compared by inner product with the vectors of an index.

    `fingerprint` is of the query side: another one needs no other index.
    """

    @property
    def name(self) -> str:
        """One of `models.composers.registry.COMPOSERS`."""
        ...

    @property
    def dimension(self) -> int: ...

    @property
    def target(self) -> str:
        """Fingerprint of the image encoder whose vectors it is compared with: another one is another generation of the index."""
        ...


@dataclass(frozen=True, slots=True)
class Several:
    """A product, or what a query starts from, by all of its vectors.

    Attributes:
        views: the ids of its views ("whole", "g0" …), in the order of `vectors`.
        vectors: (views, dimension) float32 of length 1.
        categories: of each view, "" where nobody knows it.
        chances: facet → value → probability: what it probably is.
    """

    views: tuple[str, ...]
    categories: tuple[str, ...]
    vectors: NDArray[np.float32]
    chances: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class SecondLook:
    """A composed query, as a second stage is asked.

    Attributes:
        first: (products,) float32: the scores of the first stage, descending.
        image: (dimension,) float32 of length 1: what the query starts from; None where it is words alone.
        scale: what the inner product with `image` counted in `first`.
        texts: what its words say, in the same space: (edited caption, reference's caption), or (the words,), or ().
        blocks: facet → value → weight of the square root of its probability, as the first stage added them; "" is what a product
            gets that does not know the facet.
        reference: the product that it starts from; None where that is a photo, or nobody told.
    """

    first: NDArray[np.float32]
    image: Vector | None
    scale: float
    texts: tuple[Vector, ...]
    blocks: Mapping[str, Mapping[str, float]]
    reference: Several | None


class Reranker(Protocol):
    """Orders the best products of a first stage again, by all of their vectors. Called in threads: it keeps nothing."""

    @property
    def fingerprint(self) -> str:
        """`sha256:…` over all that changes an order."""
        ...

    def scores(self, query: SecondLook, products: Sequence[Several], /) -> NDArray[np.float32]:
        """(products,) float32, higher is better; of the same order of magnitude of work for each product."""
        ...


class CaptionRequest(msgspec.Struct, frozen=True):
    """A garment to describe for a triplet.

    Args:
        evidence: what is known of it for sure.
        seed: makes choices of words repeatable.
        pixels: its photo, for captioners that look at it.
    """

    evidence: Evidence
    seed: int
    pixels: Pixels | None = None


class Captioner(Model[CaptionRequest, str], Protocol):
    """A garment → a sentence or two."""

    @property
    def looks(self) -> bool:
        """Whether it needs the photo."""
        ...


class Chat(Model[str, str], Protocol):
    """A prompt → what an instruct model answers, the same for the same prompt."""


@runtime_checkable
class Remote(Protocol):
    """A model that computes elsewhere: it is asked on the event loop, item by item, and no device is held while it thinks."""

    async def answer(self, ready: Ready, /) -> Raw:
        """What `forward` gives for one item. Bounded in time, and in how many are asked at once; cancel it, and the request ends."""
        ...

    @property
    def concurrency(self) -> int:
        """How many items it is asked at once."""
        ...

    @property
    def trouble(self) -> str:
        """Why it is not asked at the moment, in words; "" while it is."""
        ...
