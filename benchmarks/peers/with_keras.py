"""Keras on JAX, the tutorial's network; compilation is not counted."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import time
from typing import Any

import keras
from protocol import Report, Settings, Split, features, serve

# The example on MNIST in its documentation: Adam as it is, batches of 128.
DOCUMENTED = {"batch_size": 128, "learning_rate": 1e-3, "epochs": 20}


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of a step: up linearly for the first `warmup`, then down to 0."""

    def __init__(self, highest: float, steps: int, warmup: float) -> None:
        self.highest, self.steps, self.warmup = highest, steps, warmup

    def __call__(self, step: Any) -> Any:
        done = (keras.ops.cast(step, "float32") + 0.5) / self.steps
        share = keras.ops.minimum(done / self.warmup, (1 - done) / (1 - self.warmup))
        return self.highest * share


class Epochs(keras.callbacks.Callback):
    """Times each epoch and reports it."""

    def __init__(self, held_out: Any, answers: Any, report: Report) -> None:
        super().__init__()
        self.held_out, self.answers, self.report = held_out, answers, report

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.jax_state_sync()  # during `fit` the weights live outside the model
        self.model.layers[0].kernel.numpy()  # waits until they are computed
        seconds = time.perf_counter() - self.began
        chances = self.model.predict(self.held_out, batch_size=2048, verbose=0)
        self.report(seconds, (chances.argmax(1) == self.answers).mean())


def train(split: Split, settings: Settings, report: Report) -> None:
    settings = DOCUMENTED | settings
    images, labels, held_out, answers = features(split)
    batch_size, rate = settings["batch_size"], settings["learning_rate"]
    if "warmup" in settings:
        steps = settings["epochs"] * -(-len(labels) // batch_size)
        rate = OneCycle(rate, steps, settings["warmup"])
    keras.utils.set_random_seed(settings["seed"])
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((784,)),
            layers.Dense(512),
            layers.LeakyReLU(0.01),
            layers.Dense(256),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5),  # as in PyTorch
            layers.LeakyReLU(0.01),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(rate, *settings.get("betas", (0.9, 0.999)))
    model.compile(optimizer, loss, metrics=["accuracy"])
    compile_steps(model, images, labels, batch_size)
    model.fit(
        images,
        labels,
        batch_size=batch_size,
        epochs=settings["epochs"],
        callbacks=[Epochs(held_out, answers, report)],
        verbose=0,
    )


def compile_steps(model: keras.Model, images: Any, labels: Any, batch_size: int) -> None:
    """Run a step of each batch's length, so that it is compiled, and undo what it changed."""
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before = [variable.numpy() for variable in variables]
    rows = batch_size + len(labels) % batch_size
    model.fit(images[:rows], labels[:rows], batch_size=batch_size, verbose=0)
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


if __name__ == "__main__":
    serve(train)
