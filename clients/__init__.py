"""The client side of Flower: a relay that carries bytes and holds nothing."""
