"""Fit heads of facets on features that are computed anyway, and find what each value is worth on other brands.

Two ways: multinomial regression (L-BFGS) on standardised features, all facets of one input at once, and a small network
(`models.facets.facet_network`); each facet gets the one that told held-out products better. Every product is judged by heads
that were fitted without its brand (five folds); a value is stated from the probability at which right ones, less
three for each wrong one, are most. What ships is fitted once more on all products, with those thresholds.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.facets.facet_heads import BinWorth, FacetWorth, ValueWorth
from models.facets.facet_network import How, Network, learn
from processors.errors import Poison
from processors.facets import COLOUR, NEVER, RECONSIDERED, TOP, Head, Layer

FOLDS = 5
LEAST = 8
"""Products that must have a value before it can be learnt."""
JUDGED = 20
"""Predictions of a value from which it gets a threshold of its own; rarer ones share the facet's."""
LEAST_STATED = 10
"""Predictions by which a threshold is chosen."""
OUTWEIGHS = 3.0
"""How many right statements one wrong one outweighs, of whichever facet: the last claims of all are worth as much."""
FLOOR = 0.5
"""What is stated is likelier than not, however often such were right: captions that state less sure facts wait for a person."""
PENALTY = 0.03
COLOUR_PENALTY = 0.01
ROUNDS = 50
COLOUR_ROUNDS = 80
CATEGORY_SHARE = 0.05
"""A value may be said of garments of a category that has this share of its products."""
BINS = 10
COLOURS = 2.0
"""How much larger colour shares come into the network than features: they are one number in twenty-four."""

Told = Callable[[str], None]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Examples:
    """Products with the features of their garment.

    Args:
        features: (n, numbers) float32.
        shares: (n, colours) float32: `processors.colour_shares`.
        categories: (n) the detector's class.
        groups: (n) brand, or what else is held out together.
        labels: facet → (n) value, "" where the shop says nothing.
    """

    features: Floats
    shares: Floats
    categories: Sequence[str]
    groups: Sequence[str]
    labels: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Heads, what they are worth, and why a facet has none; `layer`: what layered heads read."""

    heads: dict[str, Head]
    worth: tuple[FacetWorth, ...]
    left_out: tuple[str, ...]
    layer: Layer | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """One facet in numbers: `truth` (n), −1 where the value is not learnt or not known."""

    facet: str
    values: tuple[str, ...]
    truth: Ints


def fold_of(group: str) -> int:
    """The fold in which a brand is held out; fold 0 are the brands that `weft eval` holds out too."""
    return zlib.crc32(group.strip().lower().encode()) % FOLDS


def fit(examples: Examples, tell: Told = lambda _line: None) -> Fitted:
    """Heads of every facet that has two values with enough products.

    Raises:
        Poison: no facet can be learnt, or all products are of one brand.
    """
    folds = np.array([fold_of(group) for group in examples.groups])
    if len(set(folds.tolist())) < 2:
        raise Poison("all products are of one brand: none could be held out to see what the heads are worth")
    tasks, left_out = _tasks(examples)
    if not tasks:
        raise Poison(f"nothing can be learnt: {'; '.join(left_out)}")
    linear = _of_linear(examples, tasks, folds, tell)
    network = _of_network(examples, tasks, folds, tell)
    heads: dict[str, Head] = {}
    worth: dict[str, FacetWorth] = {}
    for task, one, other in zip(tasks, linear, network.heads, strict=True):
        if task.facet == COLOUR:
            other = _both(other, one, task.truth)  # noqa: PLW2901 - each sees what the other does not
        # Judged on brands that neither has seen: with few products the linear head is the better one.
        made = other if other.loss < one.loss else one
        chances = _softmax(made.scores)
        floor = 0.0 if task.facet == COLOUR else FLOOR
        thresholds = thresholds_of(chances, task.truth, floor=floor)
        categories = _categories(task, examples.categories)
        heads[task.facet] = Head(task.values, made.weight, made.bias, thresholds, categories, layered=made is other)
        worth[task.facet] = _worth(task, chances, thresholds, categories, examples.categories)
    layer = network.layer if any(head.layered for head in heads.values()) else None
    last = sorted(worth, key=lambda facet: facet == COLOUR)
    return Fitted({f: heads[f] for f in last}, tuple(worth[f] for f in last), tuple(left_out), layer)


@dataclass(frozen=True, slots=True)
class _Made:
    """A head that was fitted on all products; and what the heads said that were fitted without a product's brand: scores (n, values)."""

    weight: Floats
    bias: Floats
    scores: Floats
    loss: float

    @classmethod
    def of(cls, weight: Floats, bias: Floats, scores: Floats, truth: Ints) -> _Made:
        """Sharpened. `loss`: mean negative logarithm of what held-out products' own values got."""
        sharpness = _sharpness(scores, truth)
        known = np.flatnonzero(truth >= 0)
        held = _softmax(scores[known] * sharpness)[np.arange(len(known)), truth[known]]
        return cls(weight * sharpness, bias * sharpness, scores * sharpness, float(-np.log(held + 1e-9).mean()))


@dataclass(frozen=True, slots=True)
class _Layered:
    heads: tuple[_Made, ...]
    layer: Layer


def _both(network: _Made, linear: _Made, truth: Ints) -> _Made:
    """The mean of their scores, as one head on the numbers of the layer and the colour shares behind them."""
    half = np.float32(0.5)
    weight = np.concatenate([network.weight, linear.weight], 1) * half
    scores = (network.scores + linear.scores) * half
    return _Made.of(
        weight, np.asarray((network.bias + linear.bias) * half, np.float32), np.asarray(scores, np.float32), truth
    )


def _of_linear(examples: Examples, tasks: Sequence[_Task], folds: Ints, tell: Told) -> list[_Made]:
    """A head of each task, in order: colour words on the garment's pixels, the others on the features."""
    found: dict[str, _Made] = {}
    for of_colour, given in ((False, examples.features), (True, examples.shares)):
        group = [task for task in tasks if (task.facet == COLOUR) == of_colour]
        if not group:
            continue
        what = "colour words" if of_colour else ", ".join(task.facet for task in group)
        logits = [np.zeros((len(folds), len(task.values)), np.float32) for task in group]
        for fold in sorted(set(folds.tolist())):
            tell(f"fitting {what} without the brands of fold {fold + 1} of {FOLDS}")
            held = folds == fold
            fitted = regress(given, [_masked(task.truth, ~held) for task in group], group, colour=of_colour)
            for scores, (weight, bias) in zip(logits, fitted, strict=True):
                scores[held] = given[held] @ weight.T + bias
        tell(f"fitting {what} on all products")
        final = regress(given, [task.truth for task in group], group, colour=of_colour)
        for task, scores, (weight, bias) in zip(group, logits, final, strict=True):
            found[task.facet] = _Made.of(weight, bias, scores, task.truth)
    return [found[task.facet] for task in tasks]


def _of_network(examples: Examples, tasks: Sequence[_Task], folds: Ints, tell: Told) -> _Layered:
    """The same by one network for all tasks, on both inputs."""
    inputs = np.concatenate([examples.features, examples.shares], 1)
    numbers = examples.features.shape[1]
    scale = np.concatenate([np.ones(numbers), np.full(examples.shares.shape[1], COLOURS)]).astype(np.float32)
    allowed = [np.arange(len(task.values)) == task.truth[:, None] for task in tasks]
    logits = [np.zeros((len(folds), len(task.values)), np.float32) for task in tasks]

    def learnt(kept: NDArray[np.bool_]) -> Network:
        counts = [((task.truth >= 0) & kept).astype(np.float32) for task in tasks]
        return learn(inputs, allowed, counts, How(), scale)

    for fold in sorted(set(folds.tolist())):
        tell(f"fitting a network without the brands of fold {fold + 1} of {FOLDS}")
        held = folds == fold
        for scores, told in zip(logits, learnt(~held).scores(inputs[held]), strict=True):
            scores[held] = told
    tell("fitting a network on all products")
    made = learnt(np.ones(len(folds), np.bool_))
    heads = tuple(
        _Made.of(weight, bias, scores, task.truth)
        for task, scores, (weight, bias) in zip(tasks, logits, made.heads, strict=True)
    )
    return _Layered(heads, Layer(made.weight, made.bias, made.mean[numbers:]))


def regress(
    features: Floats, truths: Sequence[Ints], tasks: Sequence[_Task], *, colour: bool
) -> list[tuple[Floats, Floats]]:
    """For each facet (weight (values, numbers), bias (values,)) on the features as they are; −1 in a truth is not learnt from."""
    import torch

    torch.manual_seed(0)
    used = np.flatnonzero(np.any([truth >= 0 for truth in truths], axis=0))
    mean = features[used].mean(0)
    spread = (features[used].std(0) + 1e-3) * (1.0 if colour else np.sqrt(features.shape[1]))
    x = torch.from_numpy(((features[used] - mean) / spread).astype(np.float32))
    sizes = [len(task.values) for task in tasks]
    weight = torch.zeros(x.shape[1], sum(sizes), requires_grad=True)
    bias = torch.zeros(sum(sizes), requires_grad=True)
    wanted = [torch.from_numpy(truth[used]) for truth in truths]
    counts = [max(1, int((truth >= 0).sum())) for truth in wanted]
    optimiser = torch.optim.LBFGS(
        [weight, bias], lr=1, max_iter=COLOUR_ROUNDS if colour else ROUNDS, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        total = torch.zeros(())
        for scores, truth, count, part in zip(
            torch.split(x @ weight + bias, sizes, 1), wanted, counts, torch.split(weight, sizes, 1), strict=True
        ):
            # Mean over its own products: a facet that few of them have is not drowned by one that all have.
            total = total + torch.nn.functional.cross_entropy(scores, truth, ignore_index=-1, reduction="sum") / count
            total = total + (COLOUR_PENALTY if colour else PENALTY / count) * part.pow(2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    weights = (weight.detach().numpy() / spread[:, None].astype(np.float32)).T
    biases = bias.detach().numpy() - weights @ mean
    places = np.cumsum([0, *sizes])
    return [(np.ascontiguousarray(weights[a:b]), biases[a:b].astype(np.float32)) for a, b in pairwise(places)]


def thresholds_of(
    chances: Floats, truth: Ints, *, outweighs: float = OUTWEIGHS, floor: float = 0.0
) -> tuple[float, ...]:
    """For each value the probability from which what is stated is worth most: right ones less `outweighs` times the wrong ones.

    `NEVER` where that is worth nothing from any probability on. Where all that was said is worth stating: no more than `FLOOR`.

    Args:
        chances: (n, values) of products that took no part in the fit.
        truth: (n), −1 where the shop says nothing.
        outweighs: how many right statements a wrong one takes away.
        floor: no threshold is lower.
    """
    known = truth >= 0
    said, sure = chances[known].argmax(1), chances[known].max(1)
    right = said == truth[known]
    shared = _threshold(sure, right, outweighs)
    found = []
    for value in range(chances.shape[1]):
        mine = said == value
        own = _threshold(sure[mine], right[mine], outweighs) if mine.sum() >= JUDGED else shared
        found.append(max(own, floor))
    return tuple(found)


def _threshold(sure: Floats, right: NDArray[np.bool_], outweighs: float) -> float:
    order = np.argsort(-sure, kind="stable")
    falling = sure[order]
    worth = np.cumsum(np.where(right[order], 1.0, -outweighs))
    # Those of one probability are stated together, and what few predictions are worth is chance.
    last_of_equals = np.append(falling[1:] < falling[:-1], True)[: len(order)]
    places = np.flatnonzero(last_of_equals & (np.arange(len(order)) >= min(LEAST_STATED, len(order)) - 1))
    if not len(places) or worth[places].max() <= 0:
        return NEVER
    # Of equal ones the lowest: it states more.
    best = places[len(places) - 1 - int(worth[places][::-1].argmax())]
    threshold = round(float(falling[best]), 4) - 0.0001
    # Where all that was said is worth stating, nothing tells against less sure ones: products that are easily told apart would
    # else be stated only where they are as sure as the least sure of these, at .9998.
    return min(threshold, FLOOR) if best == len(order) - 1 else threshold


def _tasks(examples: Examples) -> tuple[list[_Task], list[str]]:
    tasks, left_out = [], []
    for facet, given in examples.labels.items():
        count = Counter(value for value in given if value)
        brands: dict[str, set[str]] = {}
        for value, group in zip(given, examples.groups, strict=True):
            brands.setdefault(value, set()).add(group)
        values = tuple(sorted(v for v, n in count.items() if n >= LEAST and len(brands[v]) >= 2))
        if len(values) < 2:
            left_out.append(f"{facet}: fewer than two values have {LEAST} products of two brands")
            continue
        number = {value: n for n, value in enumerate(values)}
        tasks.append(_Task(facet, values, np.array([number.get(value, -1) for value in given], np.int64)))
        rare = sum(count.values()) - sum(count[value] for value in values)
        if rare:
            left_out.append(f"{facet}: {rare} products with values of fewer than {LEAST} products or of one brand")
    return tasks, left_out


def _masked(truth: Ints, kept: NDArray[np.bool_]) -> Ints:
    return np.where(kept, truth, -1)


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def _sharpness(scores: Floats, truth: Ints) -> np.float32:
    """The factor on the scores under which held-out products are likeliest (temperature scaling, arXiv 1706.04599)."""
    known = np.flatnonzero(truth >= 0)
    tried = np.geomspace(0.3, 3.0, 31)
    losses = [-np.log(_softmax(scores[known] * t)[np.arange(len(known)), truth[known]] + 1e-9).mean() for t in tried]
    return np.float32(tried[int(np.argmin(losses))])


def _categories(task: _Task, categories: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    found = []
    for value in range(len(task.values)):
        count = Counter(categories[n] for n in np.flatnonzero(task.truth == value).tolist())
        total = sum(count.values())
        seen = {c for c, n in count.items() if n >= 2 and n >= CATEGORY_SHARE * total}
        # Where these heads call a box of another category a top (`processors.facets.reconsidered`), it keeps its values.
        found.append(tuple(sorted(seen | {TOP} if seen & set(RECONSIDERED) else seen)))
    return tuple(found)


def _worth(
    task: _Task,
    chances: Floats,
    thresholds: Sequence[float],
    allowed: Sequence[Sequence[str]],
    categories: Sequence[str],
) -> FacetWorth:
    rows = np.flatnonzero(task.truth >= 0)
    truth, sure = task.truth[rows], chances[rows].max(1)
    order = np.argsort(-chances[rows], axis=1, kind="stable")
    said, second = order[:, 0], order[:, 1]
    suits = np.array(
        [not allowed[v] or categories[n] in allowed[v] for v, n in zip(said.tolist(), rows.tolist(), strict=True)], bool
    )
    stated = (sure >= np.array(thresholds)[said]) & suits
    right = said == truth
    values = tuple(
        ValueWorth(
            name,
            int((truth == n).sum()),
            int((said == n).sum()),
            int((stated & (said == n)).sum()),
            int((stated & right & (said == n)).sum()),
            thresholds[n],
        )
        for n, name in enumerate(task.values)
    )
    two = right | (second == truth)
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = tuple(
        BinWorth(int(mine.sum()), round(float(sure[mine].mean()), 4), round(float(right[mine].mean()), 4))
        for b in range(BINS)
        if (mine := place == b).any()
    )
    return FacetWorth(
        task.facet,
        len(rows),
        round(float(right.mean()), 4),
        round(float(two.mean()), 4),
        int(stated.sum()),
        int((stated & right).sum()),
        int((stated & two).sum()),
        values,
        bins,
    )
