"""The privacy mechanism and its accounting: noise bits, noise law, Gaussian DP, Rényi DP."""
