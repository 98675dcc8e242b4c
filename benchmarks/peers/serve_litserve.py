"""The model behind LitServe: `python serve_litserve.py MODEL.onnx PORT`."""

import sys

import litserve
import numpy as np
import onnxruntime


class Digits(litserve.LitAPI):
    """What /v1/predict answers to JSON; what arrives within a millisecond is a batch."""

    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options)

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["images"], np.uint8).reshape(-1, 28, 28)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(inputs)

    def predict(self, images: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        probabilities, scores = self.session.run(None, {"images": images})
        return list(zip(probabilities, scores, strict=True))

    def unbatch(self, output: list[tuple[np.ndarray, np.ndarray]]) -> list:
        return output

    def encode_response(self, output: tuple[np.ndarray, np.ndarray]) -> dict:
        probabilities, score = output
        return {
            "digits": [int(probabilities.argmax())],
            "probabilities": [probabilities.tolist()],
            "scores": [float(score)],
        }


if __name__ == "__main__":
    api = Digits(max_batch_size=16, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        num_api_servers=1,
        log_level="error",
        access_log=False,
        generate_client_file=False,
    )
