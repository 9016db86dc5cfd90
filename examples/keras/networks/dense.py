"""A small Keras model; its input has the name of the column group that it reads."""

from typing import Any

import keras


def build(groups: dict[str, Any], outputs: int) -> keras.Model:
    """Return a model that maps pictures (channels first) to logits."""
    image = groups["image"]
    pixels = keras.Input((image["channels"], image["height"], image["width"]), name="image")
    x = keras.layers.Flatten()(pixels)
    x = keras.layers.Dense(128, activation="relu")(x)
    x = keras.layers.Dropout(0.2)(x)
    x = keras.layers.Dense(64, activation="relu")(x)
    return keras.Model(pixels, keras.layers.Dense(outputs)(x))
