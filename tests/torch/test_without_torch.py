"""Without PyTorch the rest works, and what is missing is named in one sentence."""

import subprocess
import sys

HIDE = "import sys; sys.modules['torch'] = None; "


def run(code):
    return subprocess.run([sys.executable, "-c", HIDE + code], capture_output=True, text=True, check=False)


def test_the_package_and_its_commands_do_without_torch():
    done = run("import dynsim, dynsim.export; from dynsim.cli import main; main(['--help'])")
    assert done.returncode == 0 and "convert" in done.stdout


def test_what_is_missing_is_one_sentence():
    sentence = "dynsim.torch needs PyTorch: pip install 'dynsim[torch]'."
    done = run("from dynsim.cli import main; main(['convert', 'timm:resnet18', '-o', 'model.h5'])")
    assert done.returncode == 1 and done.stderr.strip() == f"Error: {sentence}"
    done = run("from dynsim.cli import main; main(['experiment', 'run', 'cifar10', '-o', 'out'])")
    assert done.returncode == 1 and done.stderr.strip().endswith("needs PyTorch: pip install 'dynsim[torch]'.")
