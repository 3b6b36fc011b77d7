"""Natural descent: what a step does to the weights, and what it is given."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.kernels import Kernel  # noqa: E402
from dynsim.torch import DynConv2d, DynLinear, NaturalDescent, _natural_descent, relation  # noqa: E402

KERNEL = Kernel("gaussian", length=6.0)


def test_a_step_is_the_nearest_to_the_weights_own(monkeypatch):
    """Of one neuron's moves the step is the one whose change of the weights is nearest to -rate dL/dW."""
    monkeypatch.setattr(_natural_descent, "RIDGE", 0.0)
    monkeypatch.setattr(_natural_descent, "FLOOR", 0.0)
    torch.manual_seed(0)
    layer = DynLinear(12, 5, bias=False, copies=2, dim=2, kernel=KERNEL, dtype=torch.float64)
    gradient = torch.randn(5, 12, dtype=torch.float64)
    state = {name: p.detach().clone() for name, p in layer.particles.parts().items()}
    before = state["places_out"]
    (layer.weight * gradient).sum().backward()
    NaturalDescent(layer, rate=1e-3).step()
    moved = (layer.particles.places_out.detach() - before)[0]  # (copies, neurons, d)

    for neuron in range(5):

        def weights(places, neuron=neuron):
            whole = before.clone()
            whole[0, :, neuron] = places
            return relation(KERNEL, state["places_in"], whole, state["strengths"])[0, 0, neuron]

        jacobian = torch.autograd.functional.jacobian(weights, before[0, :, neuron]).reshape(12, 4)
        wanted = np.linalg.lstsq(jacobian.numpy(), -1e-3 * gradient[neuron].numpy(), rcond=None)[0]
        np.testing.assert_allclose(moved[:, neuron].reshape(-1).numpy(), wanted, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("sets", ["half", "full"])
def test_convolutions_with_low_rank_parts_learn(sets):
    torch.manual_seed(1)
    layer = DynConv2d(3, 4, kernel_size=3, copies=2, dim=3, rank=2, kernel=KERNEL, sets=sets)
    optimizer, x = NaturalDescent(layer, rate=0.02, momentum=0.5, refresh=3), torch.randn(8, 3, 6, 6)
    wanted, losses = torch.randn(4, 3, 3, 3), []
    before = {name: p.detach().clone() for name, p in layer.particles.parts().items()}
    for _ in range(40):
        optimizer.zero_grad()
        loss = (layer(x) - nn.functional.conv2d(x, wanted)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    assert all(not torch.equal(before[name], p) for name, p in layer.particles.parts().items())


def test_a_collective_move_does_not_run_away():
    """Where lambda and both copies nearly cancel, a step changes weights by what descent on them would."""
    torch.manual_seed(2)
    layer = DynLinear(40, 30, bias=False, copies=2, dim=8, kernel=KERNEL)
    weights = layer.weight.detach().clone()
    gradient = torch.ones(30, 40)  # all weights shall fall alike: the collective move itself
    (layer.weight * gradient).sum().backward()
    NaturalDescent(layer, rate=1e-4).step()
    change = (layer.weight.detach() - weights).norm()
    # Sources, targets and lambdas each make the change: at most three times what one of them would.
    assert 0.5 * 1e-4 * gradient.norm() < change < 3.3 * 1e-4 * gradient.norm()


def test_neurons_that_layers_share_have_the_mobility_of_both():
    torch.manual_seed(4)
    first, second = DynLinear(6, 5, copies=2, dim=3, kernel=KERNEL), DynLinear(5, 4, copies=2, dim=3, kernel=KERNEL)
    second.particles.places_in = first.particles.places_out
    both = nn.Sequential(first, second)
    optimizer = NaturalDescent(both, rate=0.005)
    assert len(optimizer.param_groups[0]["params"]) == 5
    alone = [NaturalDescent(layer, rate=0.1) for layer in both]
    for some in (optimizer, *alone):
        some.refresh()
    # J^T J adds up, so the inverse is smaller than either.
    shared = optimizer.inverses[1]
    for other in (alone[0].inverses[1], alone[1].inverses[0]):
        assert torch.linalg.eigvalsh(other - shared).min() > -1e-4 * other.abs().max()
    before = both(torch.ones(3, 6)).square().mean()
    before.backward()
    optimizer.step()
    assert both(torch.ones(3, 6)).square().mean() < before


def test_states_are_kept_and_nonsense_is_refused():
    torch.manual_seed(3)
    pair = [nn.Sequential(DynLinear(6, 4, copies=2, dim=3), nn.ReLU()) for _ in range(2)]
    pair[1].load_state_dict(pair[0].state_dict())
    x, optimizers = torch.randn(5, 6), [NaturalDescent(module, 0.05) for module in pair]

    def step(k):
        optimizers[k].zero_grad()
        pair[k](x).square().sum().backward()
        optimizers[k].step()

    step(0)
    pair[1].load_state_dict(pair[0].state_dict())
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    for optimizer in optimizers:
        optimizer.refresh()
    step(0), step(1)
    for one, two in zip(*(module.parameters() for module in pair), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    with pytest.raises(ValueError, match="no layers of particles"):
        NaturalDescent(nn.Linear(3, 2))
    with pytest.raises(ValueError, match="rate: got 0"):
        NaturalDescent(pair[0], rate=0)
