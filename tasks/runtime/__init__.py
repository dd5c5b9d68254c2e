"""torch, ONNX Runtime and later TensorRT behind one interface; reading in and post-processing once for all."""
