"""`weft index`: the generations of the index: what there is, whether it is right, and which one answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.app import AsJson, DataDir, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.numbers import finite
from streams.cli.output import print_json, print_table, rows_table, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.settings import Settings
    from infra.store import ObjectStore
    from streams.contract.records import Generation
    from streams.ops.generations.export import Exported
    from streams.ops.generations.standing import Listed
    from streams.ops.generations.swap import Swapped

index_app = typer.Typer(
    help="The generations of the index: list, verify, compare, swap, roll back.", no_args_is_help=True
)
app.add_typer(index_app, name="index")

Name = Annotated[
    str | None, typer.Argument(metavar="[GENERATION]", help="A generation; the live one where none is named.")
]
Given = Annotated[str, typer.Argument(metavar="GENERATION", help="A generation.")]


def opened(settings: Settings) -> ObjectStore:
    """The store of the settings."""
    from infra.stores import open_store

    return open_store(settings)


@index_app.command("list")
def list_(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the generations: which one is live, what each reads, and what its last snapshots hold."""
    from streams.ops.generations.standing import listed
    from streams.search.generations import read

    settings = client_settings(data_dir)

    async def work() -> list[Listed]:
        generations = await read(settings)
        return await asyncio.to_thread(lambda: listed(opened(settings), generations))

    found = run(work())
    if as_json:
        print_json(found)
        return
    headers = ("generation", "state", "built", "items", "profile", "products", "digest")
    rows = [(f.generation, f.state, "yes" if f.ready else "no", f.items, f.profile, f.live, f.digest) for f in found]
    print_table(rows_table(headers, rows, ids=("generation", "items")))


@index_app.command("status")
def status(generation: Name = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the shards: rows, dead rows, segments with type and measured recall, lag, bytes, last snapshot."""
    from streams.ops.generations import standing

    settings = client_settings(data_dir)
    found = run(standing.status(settings, opened(settings), generation))
    if as_json:
        print_json(found)
        return
    say(f"{found.generation} ({found.state}): {found.live} products, {found.lag} records behind, digest {found.digest}")
    headers = (
        "partition",
        "products",
        "rows",
        "dead",
        "segments",
        "recall",
        "offset",
        "lag",
        "bytes",
        "snapshot",
        "standbys",
    )
    rows = [
        (
            s.partition,
            s.live,
            s.rows,
            s.dead_rows,
            len(s.segments),
            min((one.recall for one in s.segments), default=1.0),
            s.next_offset,
            s.lag,
            s.vector_bytes,
            "-" if s.snapshot_offset is None else s.snapshot_offset,
            ", ".join(f"{one.lag} behind" for one in s.standbys) or "-",
        )
        for s in found.shards
    ]
    print_table(rows_table(headers, rows))


@index_app.command("snapshot")
def snapshot(generation: Name = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Have every shard that changed written to the store now, not with the next period."""
    from streams.ops.generations import standing

    saved = run(standing.snapshot(client_settings(data_dir), generation))
    if as_json:
        print_json(saved)
    else:
        say(f"{saved.generation}: {saved.written} of {saved.shards} shards had changed, and are written")


@index_app.command("verify")
def verify(generation: Name = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Prove that index, topic and object store say the same, and name each product of which they do not (exit code 1)."""
    from streams.ops.generations.verify import verify as compare

    settings = client_settings(data_dir)
    verdict = run(compare(settings, opened(settings), generation))
    if as_json:
        print_json(verdict)
    else:
        say(f"{verdict.generation}: {verdict.live} products, digest {verdict.digest}")
        say(f"{verdict.photos} photos and {verdict.objects} objects of snapshots looked at")
        for one in verdict.differences:
            say(f"{one.kind}: {one.product_id} {one.detail}")
        say("index, topic and store say the same" if verdict.ok else f"{len(verdict.differences)} differences")
    if not verdict.ok:
        raise typer.Exit(Exit.FAILED)


Force = Annotated[bool, typer.Option("--force", help="Swap though gates do not hold; they are named in the answer.")]


@index_app.command("diff")
def diff(
    generation: Given,
    queries: Annotated[int, typer.Option(min=1, help="Products to ask both generations with.")] = 100,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the neighbours before and after, as pictures.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Compare a generation with the one that is live: products, digests, and what sampled queries find in each."""
    from streams.ops.generations.diff import diff as compare

    settings = client_settings(data_dir)
    found, asked = run(compare(settings, generation, queries=queries))
    if html is not None:
        from streams.ops.generations.diff_page import write

        write(html, found, asked, opened(settings))
        say(f"written: {html}")
    if as_json:
        print_json(found)
        return
    headers = ("", "generation", "products", "digest", "only there", "items")
    rows = [
        ("live", found.live.generation, found.live.live, found.live.digest, found.only_in_live_count, found.live.items),
        (
            "",
            found.other.generation,
            found.other.live,
            found.other.digest,
            found.only_in_other_count,
            found.other.items,
        ),
    ]
    print_table(rows_table(headers, rows, ids=("generation",)))
    say(
        f"{found.queries} queries: overlap@10 {found.overlap_at_10}, rank correlation {found.rank_correlation}"
        if found.queries
        else "no product is in both"
    )


@index_app.command("swap")
def swap(generation: Given, force: Force = False, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Make a generation the one that answers. Refused (exit code 3) unless it has caught up, its counts are explained, and
    every compose process has its encoder loaded.
    """
    from streams.ops.generations import swap as swapping

    settings = client_settings(data_dir)
    _tell_swap(run(swapping.swap(settings, opened(settings), generation, force=force)), as_json=as_json)


@index_app.command("rollback")
def rollback(force: Force = False, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Make the generation before the live one the one that answers, by the same gates."""
    from streams.ops.generations import swap as swapping

    settings = client_settings(data_dir)
    _tell_swap(run(swapping.rollback(settings, opened(settings), force=force)), as_json=as_json)


def _tell_swap(found: Swapped, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    for gate in found.gates:
        say(f"{'ok' if gate.ok else 'WRONG'} {gate.gate}: {gate.detail}")
    if not found.swapped:
        say(f"not swapped: {found.generation} answers as before; --force goes over what is wrong")
        raise typer.Exit(Exit.REJECTED)
    over = f", over: {', '.join(found.overridden)}" if found.overridden else ""
    say(f"{found.generation} answers now, in {found.composes} compose processes; before it: {found.previous}{over}")


@index_app.command("drop")
def drop(generation: Given, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let a generation go: its shards, its snapshots, its own items topic. The live one is refused."""
    from streams.ops.generations import swap as swapping

    settings = client_settings(data_dir)
    dropped = run(swapping.drop(settings, opened(settings), generation))
    if as_json:
        print_json(dropped)
    else:
        say(f"{generation} is dropped: {dropped.objects} objects of the store removed")


@index_app.command("build")
def build(
    generation: Given,
    rate: Annotated[
        float, typer.Option(min=0, callback=finite, help="Records a second at most; 0: as fast as it goes.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be read, and stop.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Build a generation from the items of the live one, all of them: `weft replay` from the earliest to the end."""
    from streams.cli.replay import replay_into, step_aside

    if not dry_run:
        step_aside()
    from streams.ops.generations.verify import chosen
    from streams.search.generations import read

    async def items() -> str:
        generations = await read(client_settings(data_dir))
        return chosen(generations, generations.live).items

    replay_into(
        topic=run(items()),
        begin="earliest",
        stop="end",
        into=generation,
        rate=rate,
        dry_run=dry_run,
        as_json=as_json,
        data_dir=data_dir,
    )


@index_app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="Where to write.")],
    generation: Annotated[
        str | None, typer.Option(metavar="NAME", help="A generation.", show_default="the live one")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="npz, or parquet (needs the extra `parquet`).")] = "npz",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Write ids, versions, vectors, facets and addresses of images into one file, as they are now."""
    from streams.ops.generations import standing
    from streams.ops.generations.export import export_npz, export_parquet
    from streams.ops.generations.verify import chosen
    from streams.search.generations import read

    writers: dict[str, Callable[[ObjectStore, Generation, Path], Exported]]
    writers = {"npz": export_npz, "parquet": export_parquet}
    if form not in writers:
        say(f"--format {form}: npz and parquet are written")
        raise typer.Exit(Exit.USAGE)
    settings = client_settings(data_dir)
    run(standing.snapshot(settings, generation))
    done = writers[form](opened(settings), chosen(run(read(settings)), generation), file)
    if as_json:
        print_json(done)
    else:
        say(f"{done.file}: {done.products} products, {done.rows} vectors of {done.dimension} from {done.generation}")
