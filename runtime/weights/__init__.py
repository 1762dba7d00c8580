"""Weights from files: what `load … from` reads, and how the state dicts of torch become files that it can read."""
