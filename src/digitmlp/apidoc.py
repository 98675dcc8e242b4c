"""The OpenAPI description of the service: what goes in, what comes out, with an example of each."""

from typing import Any

from digitmlp.bodies import JSON, OCTETS
from digitmlp.digits import CLASSES, PIXELS, SIDE
from digitmlp.limits import Limits

Schema = dict[str, Any]
Responses = dict[int | str, Schema]

DESCRIPTION = """\
Reads handwritten digits. `/v1/read` takes a picture with any number of digits in it; `/v1/predict`
takes images of one digit each, 28×28, as in MNIST. Every error is `{"error": "what is wrong"}`.
"""

_PIXEL: Schema = {"type": "integer", "minimum": 0, "maximum": 255}


def _list(of: Schema, count: int, **more: Any) -> Schema:
    return {"type": "array", "items": of, "minItems": count, "maxItems": count, **more}


BOX = _list(
    {"type": "integer"},
    4,
    description="left, top, right, bottom: whole pixels of the upright picture",
)
_PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_PROBABILITIES = _list(_PROBABILITY, CLASSES)


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": [*required],
        "additionalProperties": False,
    }


DIGIT = _object(
    {
        "digit": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": 9,
            "description": "null where it is no digit",
        },
        "probability": {**_PROBABILITY, "description": "of the digit that it resembles most"},
        "box": BOX,
    },
    {
        "probabilities": {**_PROBABILITIES, "description": "of 0 to 9; with explain"},
        "image": _list(
            _PIXEL, PIXELS, description="28×28 pixels as the network saw them; with explain"
        ),
    },
)
READING = _object(
    {
        "picture": {"type": "string", "description": "the file name in the form, or `picture`"},
        "text": {
            "type": "string",
            "description": "a line for each line of the picture, numbers parted by a space, "
            "`?` for what is no digit; empty for a blank picture",
        },
        "numbers": {
            "type": "array",
            "items": _object(
                {
                    "text": {"type": "string", "description": "its digits, `?` for what is none"},
                    "line": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "of the picture, from the top",
                    },
                    "box": BOX,
                    "digits": {
                        "type": "array",
                        "items": DIGIT,
                        "description": "from left to right",
                    },
                }
            ),
            "description": "runs of digits, line by line",
        },
    },
)
READING_EXAMPLE: Schema = {
    "picture": "photo.jpg",
    "text": "42",
    "numbers": [
        {
            "text": "42",
            "line": 1,
            "box": [31, 40, 142, 118],
            "digits": [
                {"digit": 4, "probability": 0.998, "box": [31, 42, 84, 118]},
                {"digit": 2, "probability": 0.987, "box": [92, 40, 142, 115]},
            ],
        }
    ],
}

PREDICTION = _object(
    {
        "digits": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 9},
            "description": "the likeliest digit of each image",
        },
        "probabilities": {
            "type": "array",
            "items": _PROBABILITIES,
            "description": "of 0 to 9, calibrated, for each image",
        },
        "scores": {
            "type": "array",
            "items": {"type": "number"},
            "description": "the higher, the more like a digit; below the threshold of /v1/model it "
            "is none",
        },
    }
)
PREDICTION_EXAMPLE: Schema = {
    "digits": [7],
    "probabilities": [[0.0, 0.0, 0.001, 0.001, 0.0, 0.0, 0.0, 0.997, 0.0, 0.001]],
    "scores": [11.3],
}
ERROR = _object({"error": {"type": "string", "description": "what is wrong"}})
WRONG = {"error": "what is wrong, where, and what was expected"}

MODEL = _object(
    {
        "name": {"type": "string", "description": "of the run or file; digitmlp: as shipped"},
        "sha256": {
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "of the model file, its own checksum counted as zeros",
        },
        "network": {"type": "string", "description": "widths of the layers"},
        "weights": {"type": "integer", "description": "how many numbers it learned"},
        "held_out": {
            "type": ["object", "null"],
            "description": "of digits that it was not trained on: their count, and the accuracy "
            "(0 to 1) with which it read them",
        },
        "threshold": {"type": "number", "description": "a score below it is no digit"},
        "temperature": {"type": "number", "description": "divides the logits before the softmax"},
        "training": {"type": "object", "description": "the settings it was trained with"},
        "data_sha256": {"type": "string", "description": "of the labelled digits it was given"},
    }
)


MODEL_EXAMPLE: Schema = {
    "name": "digitmlp",
    "sha256": "5f" * 32,
    "network": "784-512-256-10",
    "weights": 535818,
    "held_out": {"count": 8400, "accuracy": 0.9906},
    "threshold": 2.1,
    "temperature": 1.1,
    "training": {"epochs": 10, "batch_size": 256, "learning_rate": 0.004},
    "data_sha256": "04" * 32,
}


def _seven() -> list[int]:
    """Return the pixels of a 7 made of two strokes."""
    rows = [[0] * 28 for _ in range(28)]
    for column in range(8, 20):
        rows[6][column] = rows[7][column] = 255
    for row in range(8, 23):
        column = 19 - (row - 8) // 2
        rows[row][column] = rows[row][column - 1] = 255
    return [pixel for row in rows for pixel in row]


def picture_body(limits: Limits) -> Schema:
    """Return what /v1/read takes."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = _object({"picture": {"type": "string", "format": "binary"}})
    return {
        "requestBody": {
            "required": True,
            "description": f"A picture (PNG, JPEG, GIF, BMP, TIFF, WEBP or PPM), at most "
            f"{limits.body:,} bytes: the body itself, or the one file of a form.",
            "content": {
                "multipart/form-data": {"schema": form},
                OCTETS: binary,
                "image/*": binary,
            },
        }
    }


def images_body(limits: Limits) -> Schema:
    """Return what /v1/predict takes."""
    images = {
        "type": "array",
        "items": {
            "anyOf": [_list(_PIXEL, PIXELS), _list(_list(_PIXEL, SIDE), SIDE)],
            "description": "28 rows of 28 pixels, one after the other or each a list; ink 255 on "
            "ground 0",
        },
        "minItems": 1,
        "maxItems": limits.json_images,
    }
    return {
        "requestBody": {
            "required": True,
            "description": f"1 to {limits.json_images:,} images as JSON (at most {limits.json:,} "
            f"bytes), or 1 to {limits.images:,} as raw bytes, {PIXELS} an image.",
            "content": {
                JSON: {"schema": _object({"images": images}), "example": {"images": [_seven()]}},
                OCTETS: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    }


def predictions() -> Responses:
    """Return the responses of /v1/predict."""
    content = _json(PREDICTION, PREDICTION_EXAMPLE)
    content[OCTETS] = {"schema": {"type": "string", "format": "binary"}}
    return _responses("One answer for each image", content, 408, 413, 415, 422, 503)


def readings() -> Responses:
    """Return the responses of /v1/read."""
    content = _json(READING, READING_EXAMPLE)
    return _responses("What stands in the picture", content, 408, 413, 415, 422, 503)


def models() -> Responses:
    """Return the responses of /v1/model."""
    return _responses("The model", _json(MODEL, MODEL_EXAMPLE), 503)


def health() -> Responses:
    """Return the responses of /healthz."""
    return _responses("It runs", _json(_status("ok"), {"status": "ok"}))


def readiness() -> Responses:
    """Return the responses of /readyz."""
    return _responses("The model is loaded", _json(_status("ready"), {"status": "ready"}), 503)


def metrics() -> Responses:
    """Return the responses of /metrics."""
    return _responses("Counters", {"text/plain": {"schema": {"type": "string"}}})


def _status(value: str) -> Schema:
    return _object({"status": {"const": value}})


def _json(schema: Schema, example: Schema) -> Schema:
    return {JSON: {"schema": schema, "example": example}}


REASONS = {
    400: "The request is not HTTP that can be read.",
    403: "A page of another site asks.",
    408: "The request came too slowly.",
    413: "The body is too large.",
    415: "The content type is none that this takes.",
    421: "The host is not this server's.",
    422: "The content cannot be read.",
    503: "Too much is under way, or the model is still being loaded: try again in a second.",
}


def _responses(description: str, content: Schema, *errors: int) -> Responses:
    """Return the good response of an endpoint, and every error in its one form."""
    responses: Responses = {200: {"description": description, "content": content}}
    for status in (400, 403, 421, *errors):
        responses[status] = {"description": REASONS[status], "content": _json(ERROR, WRONG)}
    if 503 in errors:
        responses[503]["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return responses
