"""What can go wrong, by what the user can do about it.

DigitmlpError            exit code 1: the work failed
├── ConfigError          2: an option or a combination of options is wrong
├── DataError            3: the data is bad or missing
├── ModelError           3: the model or training state is bad or missing
├── OutputError          1: a result cannot be written
└── MissingExtraError    1: an optional dependency is not installed

A message is one sentence: what, where, found, expected, what to do.
"""

import unicodedata


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


# Which extra brings an optional package.
_EXTRAS = {
    "torch": "train",
    "sklearn": "train",
    "safetensors": "train",
    "matplotlib": "train",
    "jinja2": "train",
    "onnx": "train",
    "pyarrow": "parquet",
    "fastapi": "serve",
    "uvicorn": "serve",
    "httptools": "serve",
    "orjson": "serve",
    "python_multipart": "serve",
}


class MissingExtraError(DigitmlpError, ImportError):
    """An optional dependency is not installed."""

    @staticmethod
    def of(error: ModuleNotFoundError) -> "MissingExtraError | None":
        """Return the error to show where an optional package was not found, else None."""
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            return None
        return MissingExtraError(
            f"this needs the package {package}, which is not installed: "
            f"run  pip install 'digitmlp[{_EXTRAS[package]}]'"
        )


def on_one_line(text: str) -> str:
    """Return a text without what ends a line or steers a terminal, which a file's name may hold."""
    steering = ("Cc", "Zl", "Zp")
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in steering else c for c in text)
