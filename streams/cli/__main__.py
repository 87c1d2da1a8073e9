"""`python -m streams.cli`: the same as `weft`."""

from streams.cli import main

main()
