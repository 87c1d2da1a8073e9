"""Fashion-RAG's networks and its painter, in a tiny configuration with random weights: what holds whatever they have learnt."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.guard import Guarded
from models.ports import Inpaint
from processors.editing import mask
from processors.errors import Code, Fatal, Poison
from processors.values import Pixels

# Asked without an import: that takes seconds, and every process of the suite collects this file.
if find_spec("diffusers") is None:
    pytest.skip("the extra `edit` (diffusers) is not installed", allow_module_level=True)

from models.editor.diffusion_editor import ADAPTER, DiffusionEditor, load_networks, put_back, windowed
from models.editor.inversion import WORDS, Prompts, encoded, widened
from models.editor.tiny_networks import write_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("editor")
    write_tiny(found, seed=3)
    return found


@pytest.fixture(scope="module")
def editor(folder: Path) -> DiffusionEditor:
    return DiffusionEditor.load(folder)


def job(seed: int = 0, steps: int = 4, worn: Sequence[tuple[str, Pixels | None]] | None = None, **more: Any) -> Inpaint:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (90, 60, 3), dtype=np.uint8)
    inside = np.zeros((90, 60), np.bool_)
    inside[25:70, 15:45] = True
    found = mask.given(inside)
    assert found is not None
    red = np.full((40, 30, 3), (200, 30, 40), np.uint8)
    return Inpaint(pixels, found, tuple(worn) if worn is not None else (("a red dress", red),), seed, steps, **more)


def run(editor: DiffusionEditor, *jobs: Inpaint) -> list[Pixels]:
    return Guarded[Inpaint, Pixels](editor, name="editor").run(jobs)


def test_the_widened_network_equals_the_narrow_one(folder: Path) -> None:
    """Whatever the 18 maps of the pose hold, at the beginning of training."""
    from diffusers import UNet2DConditionModel

    narrow = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    wide = widened(UNet2DConditionModel.from_pretrained(folder / "unet").eval(), 27)
    assert (narrow.conv_in.in_channels, wide.conv_in.in_channels, wide.config.in_channels) == (9, 27, 27)
    torch.manual_seed(1)
    seen, text = torch.randn(2, 9, 16, 12), torch.randn(2, 7, 32)
    with torch.inference_mode():
        expected = narrow(seen, 10, encoder_hidden_states=text).sample
        for pose in (torch.zeros(2, 18, 16, 12), torch.rand(2, 18, 16, 12)):
            found = wide(torch.cat([seen, pose], 1), 10, encoder_hidden_states=text).sample
            assert torch.equal(found, expected) or torch.allclose(found, expected, atol=1e-6)
        wide.conv_in.weight[:, 9:] += 0.1
        assert not torch.allclose(wide(torch.cat([seen, pose], 1), 10, encoder_hidden_states=text).sample, expected)
    assert widened(wide, 27) is wide
    with pytest.raises(ValueError, match="27 channels"):
        widened(wide, 9)


def test_garments_change_nothing_that_stands_before_them(folder: Path) -> None:
    """The text encoder looks back only: tokens before the first place are read as without garments, those from it on are not."""
    networks = load_networks(folder, "cpu")
    prompt = networks.prompts.of([("a dress", True)])
    assert len(prompt.places) == WORDS
    assert list(prompt.places) == list(range(prompt.places[0], prompt.places[0] + WORDS))
    torch.manual_seed(2)
    words = torch.randn(2, WORDS, 32)
    with torch.inference_mode():
        one, other = (encoded(networks.text_encoder, [prompt], [own])[0] for own in words)
        plain = networks.text_encoder(input_ids=torch.tensor([prompt.ids])).last_hidden_state[0]
    first = prompt.places[0]
    assert torch.equal(one[:first], other[:first])
    assert torch.allclose(one[:first], plain[:first], atol=1e-6)
    assert not torch.allclose(one[first:], other[first:])
    with pytest.raises(ValueError, match="each place"):
        encoded(networks.text_encoder, [prompt], [words[0][:3]])
    assert not networks.text_encoder.get_input_embeddings()._forward_hooks, "nothing stays behind"


def test_more_garments_than_are_read_are_refused(folder: Path) -> None:
    """77 tokens, of which a garment takes 16 and its words: none is ever cut off."""
    prompts = Prompts(lambda text: [259] if text == "$" else [7] * len(text.split()), begin=1, end=2, pad=2, length=77)
    assert len(prompts.of([("a dress", True)] * 3).ids) == 77
    with pytest.raises(Poison) as refused:
        prompts.of([("a dress", True)] * 4)
    assert refused.value.code is Code.OUT_OF_RANGE
    assert refused.value.field == "references"
    with pytest.raises(Poison) as wordy:
        prompts.of([("a " * 90, False)])
    assert wordy.value.field == "text"
    assert load_networks(folder, "cpu").prompts.of(()).places == ()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=5), st.integers(30, 90))
def test_a_prompt_is_whole_or_refused(worn: list[tuple[int, bool]], length: int) -> None:
    """It ends with its end, it is as long as is read, and every garment has all of its places."""
    prompts = Prompts(
        lambda text: [259] if text == "$" else [7] * len(text.split()), begin=1, end=2, pad=0, length=length
    )
    try:
        found = prompts.of([(" ".join("x" * count), shown) for count, shown in worn])
    except Poison:
        return
    assert len(found.ids) == length
    assert found.ids[0] == 1
    assert found.ids.count(2) == 1
    assert len(found.places) == WORDS * sum(shown for _, shown in worn)


def test_the_same_request_and_seed_give_the_same_bytes(editor: DiffusionEditor) -> None:
    """Another seed, another garment or other words give others; outside the mask nothing changes."""
    blue = np.full((40, 30, 3), (30, 40, 190), np.uint8)
    first, again = run(editor, job()), run(editor, job())
    assert first[0].tobytes() == again[0].tobytes()
    for other in (job(seed=1), job(worn=[("a red dress", blue)]), job(worn=[("a coat", None)])):
        assert run(editor, other)[0].tobytes() != first[0].tobytes()
    given_ = job()
    outside = ~given_.mask.whole(90, 60)
    assert np.array_equal(first[0][outside], given_.pixels[outside])
    assert not np.array_equal(first[0], given_.pixels)


def test_a_batch_gives_what_each_alone_gives(editor: DiffusionEditor) -> None:
    """Of other numbers of steps and garments, in their order; a level of grey may differ by rounding."""
    jobs = [job(seed=1), job(seed=2, steps=2), job(seed=3, worn=[("a coat", None)])]
    together, alone = run(editor, *jobs), [run(editor, one)[0] for one in jobs]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


def test_one_that_nobody_wants_leaves_its_batch(editor: DiffusionEditor) -> None:
    """It raises why, the other is finished as if it had been alone, and both are told how far they are."""
    told: list[tuple[int, int]] = []

    def gone(done: int, _of: int) -> None:
        if done:
            raise Poison("taken back", code=Code.CANCELLED)

    wanted = job(seed=4, steps=12, watch=lambda done, of: told.append((done, of)))
    ready = [editor.prepare(job(seed=9, steps=12, watch=gone)), editor.prepare(wanted)]
    raws = editor.forward(ready)
    with pytest.raises(Poison, match="taken back"):
        editor.finish(ready[0].job, raws[0])
    assert told == [(0, 12), (5, 12), (10, 12)]
    alone = run(editor, job(seed=4, steps=12))[0]
    assert np.abs(editor.finish(wanted, raws[1]).astype(int) - alone.astype(int)).max() <= 1
    [nobody] = editor.forward(ready[:1])
    assert isinstance(nobody, Poison)


class TooLarge(DiffusionEditor):
    """Holds two at once."""

    sizes: tuple[int, ...] = ()

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self.sizes = (*self.sizes, len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(batch)


def test_a_batch_that_does_not_fit_is_halved(folder: Path) -> None:
    """Every item has its image."""
    small = TooLarge.load(folder)
    assert isinstance(small, TooLarge)
    found = run(small, *(job(seed=seed, steps=1) for seed in range(5)))
    assert len({one.tobytes() for one in found}) == 5
    assert small.sizes == (5, 2, 3, 1, 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 90), st.integers(20, 90), st.tuples(*[st.floats(0, 1)] * 4), st.sampled_from((4 / 3, 1.0, 0.5)))
def test_a_window_holds_the_garment_and_is_put_back_in_its_place(
    height: int, width: int, corners: tuple[float, float, float, float], aspect: float
) -> None:
    """Painted with the window itself, the photo is as it was (at the window's own size); outside the mask it is in any case."""
    (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
    inside = np.zeros((height, width), np.bool_)
    inside[int(y0 * height) : int(y1 * height) + 1, int(x0 * width) : int(x1 * width) + 1] = True
    found = mask.given(inside)
    if found is None:
        return
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    part, hidden = windowed(pixels, found, aspect)
    assert abs(part.shape[0] / part.shape[1] - aspect) < 0.15 * aspect
    assert np.count_nonzero(hidden) == np.count_nonzero(inside)
    other = put_back(pixels, found, np.zeros_like(part))
    assert np.array_equal(other[~inside], pixels[~inside])


def test_a_folder_that_lacks_something_says_what(folder: Path, tmp_path: Path) -> None:
    """Without the adapter, without a list, with other bytes than listed."""
    write_tiny(tmp_path / "bare", adapter=False)
    with pytest.raises(Fatal, match=ADAPTER):
        DiffusionEditor.load(tmp_path / "bare")
    write_tiny(tmp_path / "damaged")
    path = tmp_path / "damaged" / ADAPTER
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Fatal, match=ADAPTER):
        DiffusionEditor.load(tmp_path / "damaged")


def test_a_profile_loads_it_where_somebody_gave_the_weights(folder: Path, tmp_path: Path) -> None:
    """`full` edits by transfer until its folder is there, and by diffusion from then on."""
    from shutil import copytree

    from models.profiles import kinds
    from models.profiles.kinds import Place
    from models.profiles.reading import find

    profile = find("full", tmp_path)
    assert profile.part("editor", tmp_path).kind == "transfer"
    assert kinds.load("editor", profile.part("editor", tmp_path), Place(tmp_path)) is None
    copytree(folder, tmp_path / "fashion-rag")
    part = profile.part("editor", tmp_path)
    assert part.kind == "diffusion"
    loaded = kinds.load("editor", part, Place(tmp_path))
    assert loaded.method == "diffusion"
    assert run(loaded, job())[0].shape == job().pixels.shape
