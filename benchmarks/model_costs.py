"""What the models of a running stack were asked for, by its metrics."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from streams.ops.stack import Stack


@dataclass(frozen=True, slots=True)
class Asked:
    """Since the roles were started. `seeing`, `writing`: seconds of the models, all their parts."""

    photos: float
    captions: float
    seeing: float
    writing: float

    def since(self, before: Asked) -> Asked:
        """What came between the two."""
        return Asked(
            self.photos - before.photos,
            self.captions - before.captions,
            self.seeing - before.seeing,
            self.writing - before.writing,
        )

    def said(self) -> str:
        """As a sentence."""
        photo = f"{self.seeing / self.photos:.3f}" if self.photos else "-"
        caption = f"{self.writing / self.captions:.3f}" if self.captions else "-"
        return f"{self.photos:,.0f} photos seen, {self.captions:,.0f} captions written; model s a photo {photo}, a caption {caption}"


async def asked_of(stack: Stack) -> Asked:
    """Read the metrics of all roles."""
    async with aiohttp.ClientSession() as session, session.get(f"{stack.file.scrape}/metrics") as answer:
        text = await answer.text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    return Asked(
        total("weft_model_items_total", model="detector", part="forward"),
        total("weft_captions_total"),
        sum(total("weft_model_seconds_sum", model=model) for model in ("detector", "image encoder")),
        total("weft_model_seconds_sum", model="writer"),
    )
