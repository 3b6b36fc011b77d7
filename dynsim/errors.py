"""Errors of files, data and trainings. All are ValueErrors, so `except ValueError` catches every kind of bad input."""


class FileError(ValueError):
    """A damaged file: cut short, or HDF5 that cannot be read (the command line exits with 4)."""


class DataError(ValueError):
    """Missing or wrong data, or a file that another program wrote (the command line exits with 1)."""


class DivergedError(ValueError):
    """A training whose loss or numbers are no longer finite (the command line exits with 1)."""
