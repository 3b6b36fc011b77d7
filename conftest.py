"""Doctests of the bridges to other programs are collected only where those are installed; the header says so."""

from importlib.util import find_spec

BRIDGES = {
    "torch": ["dynsim/torch/*", "dynsim/experiments/cifar10/*", "dynsim/experiments/imagenet/*"],
    "sklearn": ["dynsim/sklearn.py"],
}
ABSENT = [name for name in BRIDGES if find_spec(name) is None]
collect_ignore_glob = [pattern for name in ABSENT for pattern in BRIDGES[name]]


def pytest_report_header(config):
    """Say what is left out."""
    return [f"doctests of {', '.join(BRIDGES[name])} left out: {name} is not installed" for name in ABSENT]
