"""The usual training of a model: that of its recipe, so that nothing has to be said to reach the published table."""

from __future__ import annotations

from dynsim._check import as_choice, as_count

from ._training_recipe import RECIPES, read_toml

MODELS = ("compact", "lenet5", "mlp", "vit")
_BATCH = 128  # where the recipe says none
_FEWEST_BATCHES, _SMALLEST_BATCH = 50, 32  # in an epoch; of images
_WIDE = ("batch", "rate", "sphere", "rates")  # of the widths of the recipe, with their many copies


def usual_training(
    model: str, method: str = "forces", *, weights: bool = False, images: int | None = None, widths: bool = True
) -> dict:
    """Return the options of a training (see `dynsim.train`, with `shift`) that the recipe of the model says.

    Parameters
    ----------
    model : {"compact", "lenet5", "mlp", "vit"}
    method : {"forces", "fit", "alternating"}
    weights : bool
        Whether it is the ordinary network that is trained.
    images : int, optional
        How many there are to train on: an epoch has 50 batches or more, of 32 images or more, and a fit uses half of
        the images at most.
    widths : bool
        Whether the network has the widths of the recipe; those of "mlp" need large batches and places on spheres.

    Raises
    ------
    ValueError
        If there is no such model or method.

    Examples
    --------
    >>> usual_training("lenet5")
    {'batch': 128, 'epochs': 20, 'rate': 0.08, 'smoothing': 0.1}
    >>> usual_training("lenet5", images=1437)["batch"]
    32
    """
    as_choice(model, MODELS, "model")
    as_choice(method, ("forces", "fit", "alternating"), "method")
    fitted = method == "fit" and not weights
    name = "mnist-fit" if fitted and model == "lenet5" else f"mnist-{model}"
    recipe = read_toml(RECIPES / f"{name}.toml")["training"]
    # A fit begins with the training of the ordinary network, and so do epochs that alternate with fits.
    ordinary = weights or (method == "alternating" and method not in recipe)
    kinds = ["weights"] if ordinary else ["weights", "fit"] if fitted else [method]
    found = {"batch": _BATCH}
    found |= {key: value for kind in ("all", *kinds) for key, value in recipe.get(kind, {}).items()}
    if model == "mlp" and not widths:
        found = {"batch": _BATCH} | {key: value for key, value in found.items() if key not in _WIDE}
    if images is not None:
        most = as_count(images, "images") // _FEWEST_BATCHES
        found["batch"] = min(found["batch"], max(_SMALLEST_BATCH, most))
        if "fit_images" in found:
            found["fit_images"] = min(found["fit_images"], images // 2)
    return found


def usual_options(model: str) -> dict:
    """Return copies and dimension of the first row of a model's recipe.

    >>> usual_options("mlp")
    {'widths': [784, 1000, 1500, 10], 'dim': 8, 'copies': 50}
    """
    recipe = read_toml(RECIPES / f"mnist-{as_choice(model, MODELS, 'model')}.toml")
    return {**recipe.get("options", {}), **recipe["rows"][0]["options"]}
