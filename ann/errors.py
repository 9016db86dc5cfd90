"""Every error that `ann` raises on purpose.

    AnnError                  exit code 2: the user can mend it; one message, no traceback
    |-- ConfigError           params.yaml, an override or a command-line argument
    |-- DataError             the data or its expectations
    |-- StageError            a stage cannot run, or its result may not be used
    `-- BusyError             another process holds what this one needs

A message names the rule, the value that broke it, and the way out.
Anything else that escapes is a defect of `ann` and keeps its traceback (exit code 1).
"""

from difflib import get_close_matches

EXIT_USER_ERROR = 2
"""Exit code of every command that ends with an `AnnError`."""
EXIT_INTERRUPTED = 130
"""Exit code of every command that Ctrl-C ended."""


class AnnError(Exception):
    """A mistake that the user can mend."""


class ConfigError(AnnError):
    """The configuration is wrong: a name, a value, a file."""


class DataError(AnnError):
    """The data cannot be read or breaks an expectation."""


class StageError(AnnError):
    """A stage cannot run, or what it produced may not be used."""


class BusyError(AnnError):
    """Another process is using what this one needs."""


def did_you_mean(name: str, known: list[str]) -> str:
    """Return ` (did you mean 'x'?)` where a known name is close to `name`, else the list of known names."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known: {', '.join(sorted(known))})" if known else ""
