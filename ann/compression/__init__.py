"""Smaller networks: made by recipes, measured in ONNX Runtime, chosen by rule."""
