"""What can go wrong, by what the user can do about it.

DigitmlpError            exit code 1: the work failed
├── ConfigError          2: an option or a combination of options is wrong
├── DataError            3: the data is bad or missing
├── ModelError           3: the model or training state is bad or missing
├── OutputError          1: a result cannot be written
└── MissingExtraError    1: an optional dependency is not installed

A message is one sentence: what, where, found, expected, what to do.
"""


class DigitmlpError(Exception):
    """Any failure that digitmlp foresees; its text is meant for the user."""

    exit_code = 1


class ConfigError(DigitmlpError, ValueError):
    """A setting has an impossible value, or settings contradict each other."""

    exit_code = 2


class DataError(DigitmlpError, ValueError):
    """The data is bad or missing."""

    exit_code = 3


class ModelError(DigitmlpError):
    """A model file or training state is bad or missing."""

    exit_code = 3


class OutputError(DigitmlpError):
    """A result cannot be written."""


class MissingExtraError(DigitmlpError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, need: str) -> None:
        self.extra = extra
        super().__init__(f"{need} needs more packages: run  pip install 'digitmlp[{extra}]'")
