"""Labels checked by models, and models checked by labels: what looks wrong, and what needs no person."""
