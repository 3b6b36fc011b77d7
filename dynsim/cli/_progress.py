"""Progress with time left: on a terminal only, on stderr."""

from __future__ import annotations


class Progress:
    """A bar over a quantity that grows from `start` to `end`, such as the time of a run.

    Nothing is shown in the first seconds, or where stderr is no terminal.
    """

    def __init__(self, start, end, unit="t", delay=1.0):
        self.start, self.end, self.unit, self.delay = start, end, unit, delay
        self.bar = None

    def __enter__(self):
        return self

    def __call__(self, value, *_):
        """Move to `value`; false, so it can be a callback of `solve`."""
        from tqdm import tqdm

        if self.bar is None:
            layout = "{percentage:3.0f}%|{bar}| {unit} = {n:.4g} of {total:.4g} [{elapsed} < {remaining}, {rate_fmt}]"
            self.bar = tqdm(
                total=self.end, initial=self.start, unit=self.unit, disable=None, delay=self.delay, bar_format=layout
            )
        self.bar.update(value - self.bar.n)
        return False

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()


class Count:
    """A bar over things that are counted; call it with (done, all), or with (done, None) where all is not known."""

    def __init__(self, unit, delay=1.0, description=None):
        self.unit, self.delay, self.description, self.bar = unit, delay, description, None

    def __enter__(self):
        return self

    def __call__(self, done, total=None, **_):
        """Move to `done`; shows rate and time left."""
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=total, unit=self.unit, disable=None, delay=self.delay, desc=self.description)
        self.bar.update(done - self.bar.n)

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()
