"""The text of a PDF, read in a process of its own: `python -m streams.ops.pdf_text FILE`.

A PDF is a program of sorts: one that unfolds without end, or makes the reader loop, ends that process and nothing else.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from processors.errors import Code, Poison

SECONDS = 60
MEMORY_BYTES = 2 * 2**30
MAX_PAGES = 300
MAX_CHARACTERS = 400_000
"""Of the text; an article holds fewer, and says so."""
_ENCRYPTED, _BROKEN = 3, 4


def text_of(path: Path) -> tuple[str, str]:
    """The text, pages apart by an empty line, and the title of the document ("" where it has none). Blocking.

    Raises:
        Poison: no PDF, an encrypted one, one without any text (a scan), or one that takes longer or more memory than it may.
    """
    command = [sys.executable, "-P", "-m", "streams.ops.pdf_text", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603 - our own module
    except subprocess.TimeoutExpired:
        raise Poison(f"took longer than {SECONDS} s to read", field="file", code=Code.OUT_OF_RANGE) from None
    if done.returncode == _ENCRYPTED:
        raise Poison("is an encrypted PDF", field="file", code=Code.INVALID)
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        raise Poison(f"is no PDF that can be read: {last or done.returncode}", field="file", code=Code.MALFORMED)
    title, _, text = done.stdout.decode("utf-8", "replace").partition("\n")
    if not text.strip():
        raise Poison("holds no text: pages that are pictures are not read", field="file", code=Code.INVALID)
    return text, title.strip()


def main(path: str) -> int:
    """Print the title on a line, then the text."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(path)
        if reader.is_encrypted:
            return _ENCRYPTED
        title = " ".join(str((reader.metadata and reader.metadata.title) or "").split())
        pages: list[str] = []
        for page in reader.pages[:MAX_PAGES]:
            pages.append(page.extract_text())
            if sum(map(len, pages)) > MAX_CHARACTERS:
                break
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return _BROKEN
    sys.stdout.buffer.write(f"{title}\n".encode("utf-8", "replace"))
    sys.stdout.buffer.write("\n\n".join(pages)[:MAX_CHARACTERS].encode("utf-8", "replace"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
