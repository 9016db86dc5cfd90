"""Settings of the rows as sections of params.yaml, and how each was chosen: always on validation rows."""

from typing import Any

Settings = dict[str, Any]

ADULT: Settings = {
    "data": {
        "target": "income",
        "positive": ">50K",
        "missing": ["?"],
        # fnlwgt is a weight of the census, education repeats education-num
        "columns": {"fnlwgt": {"role": "drop"}, "education": {"role": "drop"}},
    },
    "prepare": {"split": {"name": "files", "test": ["test.csv"], "valid_share": 0.15}},
    # Validation AUC at seed 1: 64 bins 0.9403, 128 bins 0.9422, 256 bins 0.9425 in more time, dropout 0.25 0.9424.
    "model": {"family": "tabular", "members": 8, "bins": 128},
    "train": {"epochs": 12, "optimizer": {"lr": 3e-3}},
}
ADULT_PLAIN: Settings = {**ADULT, "model": {"family": "mlp"}, "train": {}}
HOUSING: Settings = {
    "data": {"target": "median_house_value"},
    "prepare": {"split": {"name": "random", "valid": 0.15, "test": 0.2}},
    # Validation RMSE at seed 1, the best of 9 tries: 45,531; without dropout and with 60 epochs 46,070; with 256 bins
    # and dropout 0.2 46,814; with 30 epochs 47,221. The loss is that of the metric: auto takes Huber's for the capped
    # values.
    "model": {"family": "tabular", "members": 8, "bins": 128, "dimension": 16},
    "train": {"epochs": 80, "optimizer": {"lr": 3e-3}, "loss": {"name": "mse"}, "early_stopping": {"patience": 16}},
}
COVERTYPE: Settings = {
    "data": {"target": "Cover_Type", "task": "multiclass"},
    "prepare": {"split": {"name": "stratified", "valid": 0.05, "test": 0.1}},
    # The first that was tried: validation accuracy 0.912 with 4 epochs, 0.962 with 20.
    "model": {"family": "tabular", "members": 2, "hidden": [384, 384], "bins": 64, "dimension": 4, "dropout": 0.0},
    "train": {"epochs": 20, "batch_size": 1024, "optimizer": {"lr": 2e-3}, "loss": {"name": "cross_entropy"}},
}
OFFICIAL_IMAGES: Settings = {
    "data": {"target": "label"},
    "prepare": {"split": {"name": "files", "test": ["t10k*"], "valid_share": 5 / 60}},
}
# The first that was tried with shifts by whole pixels; with shifts between pixels, which blur, and three convolutions
# in place of six, validation accuracy was 0.912.
FASHION_CNN: Settings = {
    **OFFICIAL_IMAGES,
    "model": {"family": "cnn", "stages": [24, 48, 96], "dropout": 0.2},
    "train": {
        "epochs": 12,
        "batch_size": 128,
        "optimizer": {"lr": 3e-3},
        "average": {"name": "ema", "decay": 0.998},
        "augment": [{"name": "flip"}, {"name": "shift", "share": 0.08}],
    },
}
FASHION_MLP: Settings = {**OFFICIAL_IMAGES, "model": {"family": "mlp"}, "train": {}}
# Both are the first that were tried: validation accuracy of the perceptron 0.988.
MNIST_CNN: Settings = {
    **OFFICIAL_IMAGES,
    "model": {"family": "cnn", "stages": [16, 32, 64], "dropout": 0.2},
    "train": {
        "epochs": 12,
        "batch_size": 128,
        "optimizer": {"lr": 3e-3},
        "average": {"name": "ema", "decay": 0.998},
        "augment": [{"name": "rotation", "degrees": 10}, {"name": "shift", "share": 0.08}],
    },
}
MNIST_MLP: Settings = {
    **OFFICIAL_IMAGES,
    "model": {"family": "mlp", "hidden": [512, 256], "norm": "batch", "dropout": 0.2},
    "train": {
        "epochs": 20,
        "optimizer": {"lr": 3e-3},
        "augment": [{"name": "rotation", "degrees": 8}, {"name": "shift", "share": 0.07}],
    },
}
ETTH1: Settings = {
    "data": {
        "target": ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"],
        "windows": {"length": 720, "horizon": 96, "season": 24},
    },
    "prepare": {"split": {"name": "time", "valid": 0.2, "test": 0.2}},
    # The four validation months alone mislead: they prefer `none` with one lookback (MSE 0.637, DLinear 0.647), the
    # months before them `last`. So the first 6, 8, 10 or 12 months trained and the 4 months after each were asked. MSE
    # as a share of DLinear's, the mean of the four: `last` 1.000 and `none` 0.993 with 336 hours, 1.004 and 0.997 with
    # 336 and 720; both ways with 336 hours 0.989, with all three lookbacks 0.991. Errors in squares in place of the
    # loss that auto takes, Huber's, change that by 0.001. Taken is the mean of all, which chooses least.
    "model": {"family": "forecast", "lookbacks": [96, 336, 720], "normalise": ["last", "none"]},
    "train": {"epochs": 20},
}
SST2: Settings = {
    "data": {"target": "sentiment"},
    "prepare": {
        "split": {"name": "files", "valid": ["dev.tsv"], "test": ["test.tsv"]},
        "text": {"length": 56},
    },
    # Validation log loss at seed 1, of 12 tries; their accuracies, 0.807 of this one, hardly differ: 0.418; without ema
    # 0.423, with the mean alone 0.434, with 256 values a word and more of them dropped 0.430, with convolutions over 1
    # and 2 words 0.440, as it comes (convolutions over 3 to 5 words) 0.438 and 0.782 right.
    "model": {
        "family": "text",
        "encoder": {"name": "mean", "pooling": "mean_max"},
        "word_dropout": 0.4,
        "spatial_dropout": 0.0,
        "dropout": 0.5,
    },
    "train": {"epochs": 20, "batch_size": 64, "average": "ema"},
}
SPEECH: Settings = {
    "data": {
        "target": "digit",
        "reading": {"pattern": r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)"},
        "columns": {"speaker": {"role": "drop"}, "take": {"role": "drop"}},
    },
    "prepare": {"split": {"name": "files", "test": ["*_[0-4].wav"], "valid_share": 0.1}},
    "model": {"family": "speech"},
    "train": {"epochs": 20, "batch_size": 32},
}
