"""The store: pictures that never move, and dataset versions that are tables over them."""
