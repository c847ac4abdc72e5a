"""The coordinator: an untrusted Flower app that asks, adds and decides."""
