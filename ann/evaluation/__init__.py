"""Judge predictions: metrics, intervals, curves, slices."""
