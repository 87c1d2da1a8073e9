"""What the doctor says of the installation itself."""

from pathlib import Path

from streams.ops.doctor import PACKAGES, faiss_found, packages_found

ROOT = Path(__file__).parents[4]


def test_this_installation_is_ours_and_has_one_faiss():
    """Nothing is found where nothing is wrong."""
    assert packages_found().ok, packages_found()
    assert faiss_found().ok, faiss_found()


def test_a_package_of_somebody_else_is_named():
    """Another `models`, first on the path; and a folder without `__init__.py`, which is no package of one place."""
    places = {name: ROOT / name for name in PACKAGES}
    for place in (Path("/shop/models"), None):
        found = packages_found((places | {"models": place}).get)
        assert not found.ok
        assert f"models from {place or 'no single folder'}" in found.found
        assert "infra" not in found.found
        assert str(ROOT) in found.advice


def test_two_builds_of_faiss_are_told():
    """And none: neither is an accident that a worker should die of."""
    both = faiss_found(["faiss-cpu", "faiss-gpu"])
    assert (both.ok, both.found) == (False, "faiss-cpu, faiss-gpu")
    assert "uninstall" in both.advice
    assert not faiss_found([]).ok
    assert faiss_found(["faiss-gpu"]).ok
