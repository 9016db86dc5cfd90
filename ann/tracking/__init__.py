"""MLflow as a projection of the artifacts: whatever it holds can be written again from `build/`."""
