"""What can go wrong between the shop and its stock."""


class Unavailable(Exception):
    """The stock cannot be asked now. Asking again with the same key is safe."""
