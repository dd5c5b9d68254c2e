"""What a model sees on pictures and videos: the parts of `visionmill predict`."""
