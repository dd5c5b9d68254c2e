"""Networks behind one small contract: `loss(images, targets)` to train, `forward(images)` for raw candidates."""
