"""The versioned wire format: frozen messages, their bytes, and the signatures over them."""
