"""Learning from another network's answers."""

import dataclasses

import torch
from conftest import make_digits

from digitmlp import train as loop
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.model import committee
from digitmlp.split import Batch, tensors
from digitmlp.teacher import Teacher

CPU = torch.device("cpu")
QUICK = TrainConfig(epochs=10, batch_size=32, learning_rate=3e-3, precision="float32")


def taught(train: Batch, model: ModelConfig, **options) -> loop.Training:
    training = loop.start(model, QUICK, CPU)
    list(loop.fit(training, train, None, QUICK, **options))
    return training


def digits(seed: int = 0) -> Batch:
    made = make_digits(300, seed)
    return tensors(made.images, made.labels, CPU)


def test_teacher_gives_the_probabilities_of_its_committee():
    network = taught(digits(), ModelConfig(hidden=(32,), members=2)).network
    images = digits(1).images
    expected = committee(loop.predict_logits(network, images), 10).exp()
    found = Teacher(network, CPU, torch.float32)(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    rounded = Teacher(network, CPU, torch.bfloat16)(images)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, expected, rtol=0, atol=0.05)


def test_student_learns_the_answers_not_the_labels():
    right = digits()
    teacher = taught(right, ModelConfig(hidden=(32,))).network
    wrong = dataclasses.replace(right, labels=(right.labels + 1) % 10)
    student = taught(wrong, ModelConfig(hidden=(16,)), teacher=teacher).network
    assert loop.evaluate(student, digits(1))[1] > 0.97
