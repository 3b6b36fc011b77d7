import pytest

from dynsim.cli import main


@pytest.fixture
def run():
    """Call the command line; returns the exit code."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        return stop.value.code

    return call
