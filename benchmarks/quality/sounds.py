"""Rows of spoken digits: clips set aside of speakers that training heard, and of one that it did not."""

from functools import partial

from benchmarks.data import speech_folder
from benchmarks.quality.kept import Figures, kept
from benchmarks.quality.ours import Answers, figures
from benchmarks.quality.saving import LONGEST, save_row
from benchmarks.quality.settings import SPEECH, Settings

SPEAKERS = ("jackson", "nicolas", "theo", "yweweler")


def speech(seeds: list[int]) -> None:
    """Free Spoken Digit Dataset, four speakers, with its official test clips, and with each speaker left out."""
    ours = _figures("speech", SPEECH, seeds)
    unit = "test accuracy, mean"
    save_row("speech, digits", ours, "accuracy", unit, seeds, "200 official test clips", ">= 0.98")
    save_row("speech, seconds of training", ours, "seconds", "s, mean", seeds, "", LONGEST)
    strange = [figure for name in SPEAKERS for figure in _figures(f"without {name}", _without(name), seeds[:1])]
    note = "each of the 4 speakers in turn is the test part, the others train; the range is that of the speakers"
    save_row("speech, digits of a speaker never heard", strange, "accuracy", unit, seeds[:1], note)


def _without(speaker: str) -> Settings:
    """Return SPEECH with all clips of one speaker as the test part."""
    prepare = SPEECH["prepare"]
    return {**SPEECH, "prepare": {**prepare, "split": {**prepare["split"], "test": [f"*_{speaker}_*.wav"]}}}


def _figures(side: str, settings: Settings, seeds: list[int]) -> list[Figures]:
    measure = partial(figures, settings, speech_folder(), _score)
    return [kept("speech", side, seed, settings, measure) for seed in seeds]


def _score(part: Answers) -> Figures:
    return {"accuracy": float((part.answers.argmax(axis=1) == part.truth).mean())}
