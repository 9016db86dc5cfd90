"""From files to tensors: sources, schema, expectations, splits, and the preparation graph."""
