"""The custodian: the one process that opens an institution's records and lets out only charged, noised sums."""
