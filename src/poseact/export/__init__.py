"""Networks as ONNX files for other runtimes and programs."""
