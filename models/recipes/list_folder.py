"""Write `weft-artefact.json` into a folder of weights of your own: `python -m models.recipes.list_folder FOLDER ARTEFACT`.

ARTEFACT is a name of `weft models list`, such as yolo11-garments. `weft models pull full --from PARENT` then takes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from models.weights.hashes import list_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("artefact")
    arguments = parser.parse_args()
    for name, digest in list_folder(arguments.folder, arguments.artefact).files.items():
        print(f"{digest[:12]}  {name}")


if __name__ == "__main__":
    main()
