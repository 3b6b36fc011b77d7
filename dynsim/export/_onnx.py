"""Models as ONNX, their places materialised to weights, and such files run by onnxruntime."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dynsim._check import as_like, refusal
from dynsim._files import expect_input, expect_stored, reason, replacing, to_json
from dynsim.errors import DataError, FileError

OPSET = 17  # the first with LayerNormalization
IR = 8  # the file format of that time, which older programs read, too


def save_onnx(model, path):
    """Write a model as ONNX (opset 17): images (batch, channels, height, width) to scores; returns the file's bytes.

    Places are materialised to ordinary weights, float32. The graph is checked by `onnx.checker` before it is written.

    Raises
    ------
    ImportError
        If onnx is not installed.
    TypeError
        If a layer cannot be written as ONNX.
    """
    onnx, helper = _onnx()
    graph, x = Graph(onnx, model.image), "images"
    if model.preprocess is not None:
        x = as_like(model.preprocess, ("to_onnx",), "step with a method to_onnx", "preprocess").to_onnx(graph, x)
    for layer in model.layers:
        x = layer.to_onnx(graph, x)
    graph.nodes.append(helper.make_node("Identity", [x], ["scores"]))
    kind = onnx.TensorProto.FLOAT
    proto = helper.make_graph(
        graph.nodes,
        model.config["model"],
        [helper.make_tensor_value_info("images", kind, ["batch", *model.image])],
        [helper.make_tensor_value_info("scores", kind, ["batch", "classes"])],
        graph.constants,
    )
    opset = helper.make_opsetid("", OPSET)
    file = helper.make_model(proto, producer_name="dynsim", opset_imports=[opset], ir_version=IR)
    helper.set_model_props(file, {"dynsim": to_json(model.config)})
    onnx.checker.check_model(file, full_check=True)
    with replacing(path) as temporary:
        onnx.save(file, str(temporary))
    return Path(path).stat().st_size


class Graph:
    """Nodes and constants as layers add them (see `Layer.to_onnx`), for images (channels, height, width)."""

    def __init__(self, onnx, image):
        self.onnx, self.image = onnx, tuple(image)
        self.nodes, self.constants, self.kept = [], [], {}

    def constant(self, value, dtype=np.float32):
        """Add a constant; returns its name."""
        name = f"constant{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(value, dtype=dtype, order="C"), name))
        return name

    def add(self, operator, *inputs, outputs=1, **attributes):
        """Add a node; returns the name of its output, or a list of names."""
        names = [f"{operator.lower()}{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def reshape(self, x, *shape):
        """Reshape; a 0 keeps the axis."""
        return self.add("Reshape", x, self.constant(shape, np.int64))


def run_onnx(path, images, batch=500):
    """Scores of images (n, channels, height, width) by onnxruntime, on the processor.

    Raises
    ------
    ImportError
        If onnxruntime is not installed.
    FileNotFoundError, FileError, DataError
        If there is no such file, it is damaged, or the images do not fit.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ImportError("ONNX files are run by onnxruntime: pip install 'dynsim[onnx]'.") from None
    read_onnx(path)  # what it takes from other files is refused
    with _failing(onnxruntime, path):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else None for size in expected.shape]
    images = np.asarray(images, np.float64 if expected.type == "tensor(double)" else np.float32)
    fits = len(shape) == images.ndim and all(s in (None, n) for s, n in zip(shape, images.shape, strict=True))
    if not fits:
        raise refusal(f"{path}: images", f"shape {images.shape}", tuple(expected.shape), error=DataError)
    with _failing(onnxruntime, path):
        parts = [session.run(None, {expected.name: images[s : s + batch]})[0] for s in range(0, len(images), batch)]
    return np.concatenate(parts)


@contextmanager
def _failing(onnxruntime, path):
    """What onnxruntime says of a file that it cannot run is a FileError."""
    failures = onnxruntime.capi.onnxruntime_pybind11_state
    known = (failures.InvalidProtobuf, failures.InvalidGraph, failures.InvalidArgument, failures.NoModel)
    try:
        yield
    except (*known, failures.Fail, failures.NotImplemented, failures.RuntimeException) as error:
        raise FileError(f"{path}: damaged ONNX file ({reason(error)}); write it again.") from None


def onnx_image(path):
    """(channels, height, width) of the images that an ONNX file of `save_onnx` takes; raises as `run_onnx`."""
    file = read_onnx(path)
    sizes = [axis.dim_value for axis in file.graph.input[0].type.tensor_type.shape.dim][1:]
    if len(sizes) != 3 or min(sizes) < 1:
        raise DataError(f"{path}: its input is not (batch, channels, height, width); expected a file of dynsim.")
    return tuple(sizes)


def read_onnx(path):
    """Read and check a file; raises ImportError, FileNotFoundError or FileError."""
    onnx, _ = _onnx()
    expect_input(path, "an ONNX file")
    try:
        file = onnx.load(str(path), load_external_data=False)
        _refuse_other_files(onnx, file, path)
        onnx.checker.check_model(file)
        _refuse_large_constants(onnx, file, path)
    except Exception as error:  # protobuf's own error has no public name
        if type(error).__name__ not in ("DecodeError", "ValidationError", "InferenceError"):
            raise
        raise FileError(f"{path}: damaged ONNX file ({reason(error)}); write it again.") from None
    return file


def _refuse_other_files(onnx, file, path):
    """Raise FileError if a tensor, wherever it is in the graph, is to be read from another file."""
    parts = [file]
    while parts:
        part = parts.pop()
        if isinstance(part, onnx.TensorProto) and part.data_location == onnx.TensorProto.EXTERNAL:
            raise FileError(f"{path} keeps numbers outside of the file; dynsim does not follow that.")
        for field, value in part.ListFields():
            if field.message_type is not None:
                parts += [value] if hasattr(value, "ListFields") else value


def _refuse_large_constants(onnx, file, path):
    """Raise FileError if a few bytes stand for a large array: one whose size does not depend on the images."""
    inferred = onnx.shape_inference.infer_shapes(file, data_prop=True)
    for value in [*inferred.graph.value_info, *inferred.graph.output]:
        axes = value.type.tensor_type.shape.dim
        if axes and all(axis.HasField("dim_value") for axis in axes):
            expect_stored(4 * math.prod(axis.dim_value for axis in axes), Path(path).stat().st_size, path)


def reference_onnx(file, images, batch=500):
    """Scores by ONNX's own reference implementation (NumPy), which shares no code with onnxruntime."""
    from onnx.reference import ReferenceEvaluator

    evaluator, name = ReferenceEvaluator(file), file.graph.input[0].name
    images = np.asarray(images, np.float32)
    parts = [evaluator.run(None, {name: images[s : s + batch]})[0] for s in range(0, len(images), batch)]
    return np.concatenate(parts)


def _onnx():
    try:
        import onnx
        from onnx import helper
    except ImportError:
        raise ImportError("ONNX files need onnx: pip install 'dynsim[onnx]'.") from None
    return onnx, helper
