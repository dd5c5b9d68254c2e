"""Pruning and quantisation: a smaller model that is proven equal enough."""
