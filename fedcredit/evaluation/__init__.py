"""Federated evaluation: every figure is arithmetic on one released histogram of scores.

Institutions release good and bad counts in fixed score bins, once, with noise, and pay for it once. AUC, KS,
Brier score, calibration and their intervals are computed from that release afterwards and cost no further
privacy.
"""
