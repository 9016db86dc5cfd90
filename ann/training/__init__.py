"""Fit a network: fit -> run_epoch -> train_step, over a TrainState."""
