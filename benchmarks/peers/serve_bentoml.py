"""The model behind BentoML: `MODEL=model.onnx bentoml serve serve_bentoml:Digits --port PORT`."""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Digits:
    """What /v1/predict answers to JSON."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)

    @bentoml.api
    def predict(self, images: list[list[int]]) -> dict:
        batch = np.array(images, np.uint8).reshape(-1, 28, 28)
        probabilities, scores = self.session.run(None, {"images": batch})
        return {
            "digits": probabilities.argmax(1).tolist(),
            "probabilities": probabilities.tolist(),
            "scores": scores.tolist(),
        }
