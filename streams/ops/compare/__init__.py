"""Two profiles on the same data, each in a process of its own: `weft models compare`."""
