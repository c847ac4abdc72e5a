"""From an institution's table to quantised rows: sources, quantisation, and who takes part in which role."""
