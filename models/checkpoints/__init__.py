"""Files of weights that may run code when they are read: read once, in a process that can do nothing else."""
