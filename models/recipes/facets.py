"""Train the heads of facets that ship: linear ones and a small network on the frozen features of the encoder's pass.

    weft train facets --data DIR
    python -m models.recipes.facets calibrate --data DIR --run runs/facets     # thresholds, for facets.yaml
    python -m models.recipes.facets ship --run runs/facets                     # into models/starter
    python -m models.recipes.facets restate                                    # there, the same weights under the recipe's thresholds

DIR holds `street/` and `phone/`. First every picture is looked at once (`RUN/features/*.npz`: a run that is stopped goes on), then
the heads are fitted, which takes minutes. Their sharpness and thresholds stand in the recipe: they are found on photos of a source that
nothing was trained on (`models.recipes.facets_calibrate`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray

from models.encoder.clip_encoder import ClipImageEncoder, features_maker_of, space_fingerprint
from models.facets.facet_heads import SHIPPED, Card, FacetWorth, encode, load_shipped
from models.facets.facet_network import How
from models.recipes import facets_data as data_of
from models.recipes import ship
from models.recipes.facets_data import DRAWN_SEEDS
from models.recipes.facets_frames import Sample
from models.recipes.facets_learning import Layered, Rows, aligned, allowed_of, layered, regress
from models.recipes.facets_rucksacks import rucksack_sample
from models.recipes.facets_tailor import TAILORED, tailored_samples
from models.recipes.facets_truth import CATEGORIES_OF, COVERS, VALUES, Allowed
from models.weights.hashes import check_weights
from models.weights.starter import IMAGE_TRUNK, STARTER_FOLDER, shipped_path
from processors import crops
from processors.facets import NEVER, Head, Layer, Line
from processors.second_look import CATEGORY
from processors.weighed import Term, Weighed

CONFIG = Path(__file__).with_suffix(".yaml")
Config: TypeAlias = dict[str, Any]
Floats = NDArray[np.float32]
BATCH = 16
HELD_OUT = "held-out-"
FITTED = "fitted.npz"
LAYER, LAYERED = "layer", "layered."
"""Names of the arrays of a network."""
T = TypeVar("T")
_COMMON = frozenset({"pants", "shoes", "shorts", "hat", "skirt", "dress", "outwear", "longsleeve"})
"""Labels of `phone` of which one picture cut out is enough."""


@dataclass(frozen=True, slots=True)
class Job:
    """A part of the pictures that is looked at and kept at once."""

    name: str
    make: Callable[[np.random.Generator], Iterable[Sample | None]]
    share: float
    """How much of its source comes before it: a run that is stopped early has seen something of each source."""


def jobs(config: Config, data: Path, *, held_out: bool = False) -> list[Job]:
    """Every part of every source; of the held-out side only photos."""
    names = data_of.names_of(data, modulus=config["held_out_modulus"], held_out=held_out)
    copies = 2 if held_out else config["street_copies"]

    def street(name: str, rng: np.random.Generator) -> Iterable[Sample]:
        return data_of.street_samples(data, name, names.labels, rng, copies)

    def worn(name: str, rng: np.random.Generator) -> Iterable[Sample]:
        return data_of.worn_samples(data, name, names.labels, rng, 2)

    def phone(one: tuple[str, str], rng: np.random.Generator) -> Iterable[Sample | None]:
        return [data_of.phone_sample(data, *one, rng)]

    def cut_out(one: tuple[str, str], rng: np.random.Generator) -> Iterable[Sample]:
        return data_of.phone_cut_samples(data, *one, rng, 1 if one[1] in _COMMON else 2)

    def anew(one: tuple[str, str], rng: np.random.Generator) -> Iterable[Sample]:
        return tailored_samples(data, *one, rng, 2 if one[1] in ("t-shirt", "longsleeve") else 1)

    def rucksack(seed: int, _rng: np.random.Generator) -> Iterable[Sample]:
        return [rucksack_sample(DRAWN_SEEDS + seed)]

    def drawn(seed: int, _rng: np.random.Generator) -> Iterable[Sample | None]:
        return [data_of.drawn_sample(DRAWN_SEEDS + seed)]

    def thing(seed: int, _rng: np.random.Generator) -> Iterable[Sample]:
        return [data_of.thing_sample(DRAWN_SEEDS + seed)]

    size = config["chunk"]
    found = [
        *_parts("street", names.street, street, size),
        *_parts("worn", names.street, worn, size),
        *_parts("phone", names.phone, phone, size),
        *_parts("cut", names.phone, cut_out, size),
        *_parts("anew", [one for one in names.phone if one[1] in TAILORED], anew, size),
    ]
    if not held_out:
        found += _parts("drawn", range(config["drawn"]), drawn, size)
        found += _parts("things", range(config["things"]), thing, size)
        found += _parts("rucksacks", range(config["rucksacks"]), rucksack, size)
    return [replace(job, name=f"{HELD_OUT}{job.name}") for job in found] if held_out else found


def _parts(
    source: str, items: Sequence[T], make: Callable[[T, np.random.Generator], Iterable[Sample | None]], size: int
) -> list[Job]:
    def job(start: int) -> Job:
        some = items[start : start + size]
        return Job(
            f"{source}-{start:05}", lambda rng: chain.from_iterable(make(one, rng) for one in some), start / len(items)
        )

    return [job(start) for start in range(0, len(items), size)]


def encoder_of() -> ClipImageEncoder:
    """The shipped encoder, on the base in the model cache (WEFT_MODEL_CACHE, as everywhere)."""
    cache = Path(os.environ.get("WEFT_MODEL_CACHE", "~/.cache/weft/models")).expanduser()
    return ClipImageEncoder.load(shipped_path("encoder.safetensors"), cache / IMAGE_TRUNK / "model.safetensors")


def look(job: Job, encoder: ClipImageEncoder, seed: int, out: Path) -> int:
    """Look at the pictures of a part and keep their features; returns how many. A part that is kept already is left alone."""
    if out.exists():
        return 0
    rng = np.random.default_rng([seed, *job.name.encode()])
    rows: list[dict[str, Any]] = []
    views: list[Floats] = []
    found: list[Floats] = []

    def forward() -> None:
        found.extend(encoder.features(raw).astype(np.float16) for raw in encoder.forward(views))
        views.clear()

    for sample in job.make(rng):
        if sample is None:
            continue
        rows.append({"source": sample.source, "main": sample.main, "allowed": sample.allowed})
        views.append(encoder.prepare(crops.cut(sample.pixels, sample.box)))
        views.append(encoder.prepare(sample.pixels))
        if len(views) >= BATCH:
            forward()
    if views:
        forward()
    features = np.stack(found) if found else np.zeros((0, 0), np.float16)
    aside = out.with_suffix(".part.npz")
    np.savez(aside, crop=features[::2], whole=features[1::2], rows=json.dumps(rows))
    aside.replace(out)
    return len(rows)


def gather(config: Config, run: Path, data: Path, minutes: float | None = None) -> None:
    """Look at every picture that is not kept yet, for so many minutes at most."""
    import torch

    torch.set_num_threads(config["threads"])
    folder = run / "features"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = jobs(config, data) + jobs(config, data, held_out=True)
    wanted.sort(key=lambda job: job.share)
    encoder = None
    began, count = time.monotonic(), 0
    for number, job in enumerate(wanted):
        out = folder / f"{job.name}.npz"
        late = minutes is not None and time.monotonic() - began > 60 * minutes
        if not out.exists() and not late:
            encoder = encoder or encoder_of()
            count += look(job, encoder, config["seed"], out)
            print(
                f"{number + 1} of {len(wanted)} parts; {count} pictures in {time.monotonic() - began:.0f} s", flush=True
            )


@dataclass(frozen=True, slots=True)
class Kept:
    """Features that were kept: crops and whole photos (n, numbers), and for each where it is from and what its label allows."""

    crop: Floats
    whole: Floats
    sources: tuple[str, ...]
    mains: NDArray[np.bool_]
    labels: tuple[Allowed, ...]


def read_kept(run: Path, *, held_out: bool = False) -> Kept:
    """The features of one side of the split.

    Raises:
        FileNotFoundError: there are none.
    """
    paths = [one for one in sorted((run / "features").glob("*.npz")) if not one.stem.endswith(".part")]
    paths = [one for one in paths if one.stem.startswith(HELD_OUT) == held_out]
    if not paths:
        raise FileNotFoundError(2, "no features are kept", str(run / "features"))
    crop, whole, rows = [], [], []
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            described = json.loads(str(file["rows"]))
            if described:
                crop.append(file["crop"])
                whole.append(file["whole"])
                rows += described
    return Kept(
        np.concatenate(crop).astype(np.float32),
        np.concatenate(whole).astype(np.float32),
        tuple(row["source"] for row in rows),
        np.array([row["main"] for row in rows], np.bool_),
        tuple({facet: tuple(values) for facet, values in row["allowed"].items()} for row in rows),
    )


@dataclass(frozen=True, slots=True)
class Fit:
    """What was learnt: facet → weight and bias on the features; and of some facets on the numbers of a layer, which are those that ship."""

    linear: Mapping[str, tuple[Floats, Floats]]
    network: Layered

    def scores(self, facet: str, features: Floats) -> Floats:
        """(n, values) of features (n, numbers)."""
        if facet in self.network.heads:
            weight, bias = self.network.heads[facet]
            return np.asarray(self.network.hidden(features) @ weight.T + bias, np.float32)
        weight, bias = self.linear[facet]
        return np.asarray(features @ weight.T + bias, np.float32)

    def save(self, path: Path) -> None:
        """As arrays."""
        pairs = {**self.linear, **{f"{LAYERED}{facet}": pair for facet, pair in self.network.heads.items()}}
        pairs[LAYER] = (self.network.weight, self.network.bias)
        arrays: dict[str, Any] = {
            f"{name}.{n}": v for name, pair in pairs.items() for n, v in zip("wb", pair, strict=True)
        }
        np.savez(path, **arrays)

    @classmethod
    def read(cls, path: Path) -> Fit:
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            pairs = {name[:-2]: (file[name], file[f"{name[:-2]}.b"]) for name in file.files if name.endswith(".w")}
        heads = {name.removeprefix(LAYERED): pair for name, pair in pairs.items() if name.startswith(LAYERED)}
        return cls({facet: pairs[facet] for facet in VALUES if facet in pairs}, Layered(*pairs[LAYER], heads))


def fit(config: Config, kept: Kept) -> Fit:
    """Each picture teaches as the photo's main garment, and as one beside it."""
    drawn = np.array([source == "drawn" for source in kept.sources])
    groups = [label[CATEGORY][0] for label in kept.labels]
    views = []
    for features, chosen in ((of_garment_rows(kept), kept.mains), (kept.crop, np.ones(len(groups), np.bool_))):
        real = np.flatnonzero(chosen & ~drawn)
        mine = np.flatnonzero(chosen & drawn)
        moved = aligned(features[mine], [groups[n] for n in mine], features[real], [groups[n] for n in real])
        views.append((np.concatenate([features[real], moved]), np.concatenate([real, mine])))
    numbers = np.concatenate([rows for _, rows in views])
    labels = [kept.labels[n] for n in numbers]
    weights = np.array([config["weights"].get(kept.sources[n], 1.0) for n in numbers], np.float32)
    rows = Rows(np.concatenate([features for features, _ in views]), allowed_of(labels, VALUES), weights)
    del views
    linear = regress(rows, penalty=config["penalty"], rounds=config["rounds"], evened=config["evened"])
    return Fit(linear, network_of(config, rows))


def network_of(config: Config, rows: Rows) -> Layered:
    """The network of the recipe: one layer, taught by the facets that it names; the heads of some of them are kept."""
    told = config["network"]
    made = layered(rows, told["facets"], how=How(**told["how"]), evened=config["evened"])
    return replace(made, heads={facet: made.heads[facet] for facet in told["kept"]})


def of_garment_rows(kept: Kept) -> Floats:
    """The features of main garments (`processors.facets.of_garment`)."""
    return np.asarray((kept.crop + kept.whole) / 2, np.float32)


def heads_of(
    config: Config, fitted: Mapping[str, tuple[Floats, Floats]], layered: Collection[str] = ()
) -> dict[str, Head]:
    """Heads with the sharpness and the thresholds of the recipe; a value without one is never stated.

    Args:
        config: the recipe.
        fitted: facet → weight and bias.
        layered: facets whose heads read the layer.
    """
    heads = {}
    for facet, (weight, bias) in fitted.items():
        sharp = np.float32(config["sharpness"].get(facet, 1.0))
        values = VALUES[facet]
        told = config["thresholds"].get(facet, {})
        thresholds = tuple(float(told.get(value, NEVER)) for value in values)
        categories = tuple(CATEGORIES_OF[facet](value) for value in values)
        covers = tuple(COVERS[facet].get(value, ()) for value in values) if facet in COVERS else ()
        lines, weighed = lines_of(config, facet), weighed_of(config, facet)
        heads[facet] = Head(
            values, weight * sharp, bias * sharp, thresholds, categories, covers, facet in layered, lines, weighed
        )
    return heads


def weighed_of(config: Config, facet: str) -> tuple[Weighed, ...]:
    """The weighed values of a facet, as they stand in the recipe: "pattern dotted|printed: 0.7" is a term."""

    def term(text: str, weight: float) -> Term:
        name, values = text.split(" ", 1)
        return Term(name, tuple(values.split("|")), float(weight))

    told = config.get("weighed", {}).get(facet, {})
    return tuple(
        Weighed(value, float(one["from"]), float(one["bias"]), tuple(term(*pair) for pair in one["by"].items()))
        for value, one in told.items()
    )


def lines_of(config: Config, facet: str) -> tuple[Line, ...]:
    """The lines of a facet's values, as they stand in the recipe."""
    told = config.get("lines", {}).get(facet, {})
    return tuple(
        Line(
            value,
            float(line["from"]),
            tuple(line.get("of", ())),
            line.get("beside", ""),
            tuple(line.get("values", ())),
            float(line.get("at_most", 1.0)),
        )
        for value, lines in told.items()
        for line in lines
    )


def train(recipe: Path, run: Path, data: Path, minutes: float | None = None) -> Path:
    """Look at what was not looked at yet, fit, and export.

    Args:
        recipe: a YAML like `facets.yaml`.
        run: folder of the features, of `progress.jsonl` and of the result.
        data: folder with `street/` and `phone/`.
        minutes: look no longer than that; the heads are fitted on what was seen.

    Returns:
        RUN/facets.safetensors.

    Raises:
        FileNotFoundError: the photos or the pretrained base are not there.
    """
    config: Config = yaml.safe_load(recipe.read_text())
    began = time.monotonic()
    gather(config, run, data, minutes)
    kept = read_kept(run)
    fitted = fit(config, kept)
    loss = loss_of(fitted, read_kept(run, held_out=True))
    seconds = time.monotonic() - began
    row = {"step": 1, "seconds": round(seconds, 1), "images": len(kept.labels), "loss": round(loss, 4)}
    with (run / "progress.jsonl").open("a") as progress:
        progress.write(json.dumps(row) + "\n")
    fitted.save(run / FITTED)
    return export(config, run, len(kept.labels), seconds)


def loss_of(fitted: Fit, kept: Kept) -> float:
    """Mean over the facets of −log of the probability of what the label allows, on held-out photos."""
    features = np.where(kept.mains[:, None], of_garment_rows(kept), kept.crop)
    losses = []
    for facet, allowed in allowed_of(kept.labels, VALUES).items():
        told = ~allowed.all(1)
        if not told.any():
            continue
        scores = fitted.scores(facet, features[told])
        chances = np.exp(scores - scores.max(1, keepdims=True))
        share = (chances * allowed[told]).sum(1) / chances.sum(1)
        losses.append(float(-np.log(share + 1e-9).mean()))
    return float(np.mean(losses))


def export(config: Config, run: Path, pictures: int, seconds: float) -> Path:
    """Write the fitted heads with the thresholds of the recipe, and list them in a manifest of the run's folder."""
    fitted = Fit.read(run / FITTED)
    network = fitted.network
    heads = heads_of(config, {**fitted.linear, **network.heads}, network.heads)
    layer = Layer(
        network.weight, network.bias, np.zeros(0, np.float32)
    )  # colour words are a shop's own: none are shipped
    worth = run / "worth.json"
    card = Card(
        made=config["made"],
        source="models/recipes/facets.py",
        products=pictures,
        brands=0,
        held_out=config["held_out"],
        seconds=round(seconds, 1),
        facets=msgspec.json.decode(worth.read_bytes(), type=tuple[FacetWorth, ...]) if worth.is_file() else (),
        notes=(config["provenance"],),
    )
    out = run / SHIPPED
    aside = out.with_suffix(".part")
    aside.write_bytes(encode(encoder_maker(), heads, card, layer))
    aside.replace(out)
    return ship.list_run(out)


def restate(run: Path) -> Path:
    """Write the shipped heads anew with the thresholds, lines and weighed values of the recipe: their weights stay, to the bit. What they are
    worth is that of `RUN/worth.json` where it is there, else what the card said before.
    """
    config: Config = yaml.safe_load(CONFIG.read_text())
    version = load_shipped()
    kept = version.heads.heads
    sharp = {**config, "sharpness": {}}  # it is in the weights
    stated = heads_of(sharp, {f: (h.weight, h.bias) for f, h in kept.items()}, [f for f in kept if kept[f].layered])
    path = STARTER_FOLDER / SHIPPED
    card = msgspec.structs.replace(version.card, made=config["made"], notes=(config["provenance"],))
    worth = run / "worth.json"
    if worth.is_file():
        card = msgspec.structs.replace(
            card, facets=msgspec.json.decode(worth.read_bytes(), type=tuple[FacetWorth, ...])
        )
    path.write_bytes(encode(version.heads.maker, stated, card, version.heads.layer))
    ship.write(STARTER_FOLDER)
    return path


def encoder_maker() -> str:
    """Whose features the heads read: of the shipped encoder."""
    return features_maker_of(space_fingerprint(check_weights(shipped_path("encoder.safetensors"))))


def main() -> None:
    """The command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "calibrate", "ship", "restate"))
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WEFT_DATA", "../shared/data")))
    parser.add_argument("--run", type=Path, default=Path("runs/facets"))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--pictures", type=Path, help="calibrate: folder for the reliability diagram")
    options = parser.parse_args()
    config = yaml.safe_load(options.config.read_text())
    if options.action == "train":
        print(train(options.config, options.run, options.data, options.minutes))
    elif options.action == "restate":
        print(restate(options.run))
    elif options.action == "calibrate":
        from models.recipes import facets_calibrate

        facets_calibrate.calibrate(options.run, options.data, options.pictures)
    else:
        made = export(config, options.run, len(read_kept(options.run).labels), 0.0)
        shutil.copyfile(made, STARTER_FOLDER / SHIPPED)
        ship.write(STARTER_FOLDER)
        print(STARTER_FOLDER / SHIPPED)


if __name__ == "__main__":
    main()
