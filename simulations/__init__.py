"""Federations in one process, comparisons and sweeps; no training, aggregation or noise code of its own."""
