"""Handwritten digits, read by a multilayer perceptron."""
