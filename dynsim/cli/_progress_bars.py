"""Progress with time left: on a terminal only, on stderr, and not in the first second."""

from __future__ import annotations

from ._standard_error import telling


class ProgressBar:
    """A bar over what is counted; call it with (done, total) and facts, such as loss=0.3, that are shown beside it.

    `total` is None where it is not known; another total begins another bar. `leave` keeps the bar when it is closed.
    """

    def __init__(self, unit, *, delay=1.0, description=None, leave=True):
        self.options = {"unit": unit, "delay": delay, "desc": description, "leave": leave}
        self.bar = None

    def __enter__(self):
        return self

    def __call__(self, done, total=None, **facts):
        """Move to `done` of `total`; false, which stops nothing."""
        shown = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in facts.items() if k != "epochs"}
        with telling():
            if self.bar is None or self.bar.total != total:
                self.close()
                # What was done before, by an earlier call of the command, says nothing of the rate.
                self.bar = self._bar(total, max(0, done - 1))
            if shown:
                self.bar.set_postfix(shown, refresh=False)
            self.bar.update(done - self.bar.n)
        return False

    def _bar(self, total, initial):
        from tqdm.auto import tqdm  # in a notebook one that it shows

        class Bar(tqdm):
            disable = True  # asked for when one is deleted, also one whose making was interrupted

        return Bar(total=total, initial=initial, disable=None, **self.options)

    def close(self):
        """Take the bar away."""
        if self.bar is not None:
            with telling():
                self.bar.close()
        self.bar = None

    def __exit__(self, *_):
        self.close()


class SimulationBar(ProgressBar):
    """A bar over the time of a simulation from `start` to `end`, called with (t, q) after a step."""

    def __init__(self, start, end):
        super().__init__("t")
        self.start, self.end = start, end
        layout = "{percentage:3.0f}%|{bar}| {unit} = {n:.4g} of {total:.4g} [{elapsed} < {remaining}, {rate_fmt}]"
        self.options["bar_format"] = layout

    def __call__(self, t, *_):
        """Move to `t`; false, so it can be a callback of `solve`."""
        with telling():
            if self.bar is None:
                self.bar = self._bar(self.end, self.start)
            self.bar.update(t - self.bar.n)
        return False
