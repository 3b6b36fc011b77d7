"""Fine-tuning in two processes: places and averages stay the same, and forces are those of both parts of the data."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

SCRIPT = """
import os, sys, torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from dynsim.torch import convert, finetune

torch.set_num_threads(1)
torch.manual_seed(0)
original = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
module, _ = convert(original, copies=1, dim=2, steps=3)
data = TensorDataset(torch.randn(64, 12), torch.randint(4, (64,)))
sampler = DistributedSampler(data, int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"]))
metrics = finetune(module, original, loader=DataLoader(data, 8, sampler=sampler), epochs=8, rate=0.05, labels=0.0)
torch.save({"state": module.state_dict(), "loss": [entry["loss"] for entry in metrics]},
           os.path.join(sys.argv[1], "rank" + os.environ["RANK"] + ".pt"))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_keep_the_same_places(tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch was built without distributed")
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run([*command, str(tmp_path / "train.py"), str(tmp_path)], check=True, timeout=300)
    one, two = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one["loss"] != two["loss"]  # each saw its own half
    assert one["loss"][-1] + two["loss"][-1] < one["loss"][0] + two["loss"][0]
    for name, value in one["state"].items():
        assert torch.equal(value, two["state"][name])
