"""What the engine asks of every method."""

from __future__ import annotations


class Method:
    """A method that `solve` knows by its `name`; of every method there is one object, in METHODS.

    Attributes
    ----------
    name : str
    order : int
        For noise the strong order, rounded down; else that of the places.
    error_order : int
        Of the error estimate; 0 for fixed steps.
    adaptive : bool
        Whether it chooses its steps.
    nodes : int
        Lobatto nodes per step at which the delay memory stores the emitted signal.
    stages : int
        Rows of derivatives that a step leaves, from which places between its ends are interpolated.
    noisy : bool
        Whether it can be used at a temperature above 0.
    reference : str

    Examples
    --------
    >>> from dynsim.engine import METHODS
    >>> [name for name, method in METHODS.items() if method.noisy]
    ['baoab', 'euler_maruyama', 'sra1']
    """

    noisy = False

    def expect(self, system) -> None:
        """Refuse a system that the method cannot integrate; raises ValueError."""

    def scheme(self, noise):
        """What takes a step where it is not by a Runge-Kutta table; None where it is."""
        return None

    def stage_choice(self):
        """What chooses the number of stages before every step; None where that is fixed."""
        return None
