"""The losses of the encoder's training, all of one kind: multi-positive InfoNCE over pairs that are true, false or open."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray

from models.recipes.encoder_facets import Claims

EDGE = 12.0
"""Scale of the cosine between two pictures."""
PROXY = 16.0
"""Scale of the cosine between a picture and the mean place of its class."""


def contrast(similar: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Multi-positive InfoNCE over rows, leaving out open pairs (−1) and rows without a true one.

    Each true pair is compared with the false ones and itself, not with the other true ones (Khosla et al. 2020, "out").
    """
    false = similar.masked_fill(true != 0, -torch.inf).logsumexp(1, keepdim=True)
    loss = torch.logaddexp(similar, false) - similar
    positive = (true == 1).to(similar.dtype)
    counts = positive.sum(1)
    rows = (loss.masked_fill(true != 1, 0)).sum(1) / counts.clamp(min=1)
    return rows[counts > 0].mean()


def same_kind(images: torch.Tensor, labels: NDArray[np.str_], origins: NDArray[np.str_]) -> torch.Tensor:
    """Photos of one label ("longsleeve") lie together whatever their colour: neighbours vote by kind, too."""
    same = (labels[:, None] == labels[None]) & (labels != "")[:, None]
    true = np.where(origins[:, None] == origins[None], same.astype(np.int8), -1)  # labels of two sets do not compare
    np.fill_diagonal(true, -1)
    return contrast(images @ images.T * EDGE, torch.from_numpy(true).to(images.device))


def classes(images: torch.Tensor, proxies: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cross-entropy to learned places of the classes, smoothed: about one label in fifteen is disputable.

    Args:
        images: (n, d), normalised.
        proxies: (classes, d).
        wanted: (n, classes), shares of each class.
    """
    logits = images @ F.normalize(proxies, dim=1).T * PROXY
    return F.cross_entropy(logits, wanted, label_smoothing=0.1)


def edits(
    images: torch.Tensor, words: torch.Tensor, claims: Claims, true: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The composed query as it is served: image + words of what is wanted − words of what is seen, by colour.

    For a picture that "a red dress" is true of, "a blue dress" is asked for; the pictures of blue dresses answer.

    Returns:
        Queries (q, d) and which pictures answer each (q, n) as in `truth`; None when the batch holds no such pair.
    """
    facets, colours = claims.facets, claims.colours
    plain = np.flatnonzero(
        (facets[:, 0] >= 0) & (facets[:, 1:] < 0).all(1) & (colours[:, 0] >= 0) & (colours[:, 1] < 0)
    )
    answers = true.cpu().numpy()
    pairs = []
    for row in range(len(images)):
        seen = plain[answers[row, plain] == 1]
        if len(seen):
            wanted = plain[(facets[plain, 0] == facets[seen[0], 0]) & (colours[plain, 0] != colours[seen[0], 0])]
            wanted = wanted[(answers[:, wanted] == 1).any(0)] if len(wanted) else wanted
            if len(wanted):
                pairs.append((row, seen[0], rng.choice(wanted)))
    if not pairs:
        return None
    of, seen_text, wanted_text = np.array(pairs).T
    query = F.normalize(images[of] + words[wanted_text] - words[seen_text], dim=1)
    return query, true.T[wanted_text]
