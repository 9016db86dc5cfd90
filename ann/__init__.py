"""Turn a data set into a small, fast, trustworthy neural network, again and again."""

__version__ = "0.1.0"
