"""Handwritten digits, read by a multilayer perceptron.

DigitClassifier  trains: a scikit-learn estimator, in PyTorch
load             returns a Recognizer for a saved model, in ONNX Runtime
read             reads the numbers in a picture
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digitmlp.estimator import DigitClassifier
    from digitmlp.reading import read
    from digitmlp.recognizer import Recognizer, load

__all__ = ["DigitClassifier", "Recognizer", "load", "read"]

_HOMES = {
    "DigitClassifier": "digitmlp.estimator",
    "Recognizer": "digitmlp.recognizer",
    "load": "digitmlp.recognizer",
    "read": "digitmlp.reading",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first used: `import digitmlp` alone stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'digitmlp' has no attribute {name!r}")
    import importlib

    from digitmlp.errors import MissingExtraError

    try:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error) or error from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *globals()]
