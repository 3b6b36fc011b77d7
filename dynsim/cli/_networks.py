"""The file of a network that a command is given: a model, an export of one, or a converted network."""

from __future__ import annotations


def load_network(path):
    """A Model, or the ImageNetwork of a converted file; both have scores, predict, image and parameters."""
    from dynsim.trajectory import file_kind

    if path.suffix == ".h5" and file_kind(path) == "converted":
        from dynsim.torch import load_image_network

        return load_image_network(path)
    from dynsim import load_model

    return load_model(path)


def count_numbers(network):
    """How many numbers a network has, by kind."""
    from dynsim.models import Model, count

    return count(network) if isinstance(network, Model) else network.count()
