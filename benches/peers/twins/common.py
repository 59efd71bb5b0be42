"""Numbers that every side computes alike: see `src/fill.rs`."""

import math

import numpy as np
import torch


def unit(seed, count):
    with np.errstate(over="ignore"):
        i = np.arange(count, dtype=np.uint64)
        z = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + i * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(8388608.0) - np.float32(1.0)


def scaled(seed, shape, scale):
    return (unit(seed, math.prod(shape)) * np.float32(scale)).reshape(shape)


def array(seed, *shape):
    """Uniform numbers of mean 0 and variance 1."""
    return scaled(seed, shape, 1.7320508)


def numbers(seed, *shape):
    return torch.from_numpy(array(seed, *shape))


def classes(n, of):
    return torch.arange(n) % of


def weight(seed, name, shape):
    if len(shape) >= 2:
        inputs = math.prod(shape) // shape[0]
        return torch.from_numpy(scaled(seed, shape, math.sqrt(3.0 / inputs)))
    small = torch.from_numpy(scaled(seed, shape, 0.1))
    return small if name.endswith("bias") else small + 1.0


@torch.no_grad()
def set_weights(seed, net):
    """Weights by their sorted names; `net` itself."""
    named = dict(net.named_parameters())
    for at, name in enumerate(sorted(named)):
        named[name].copy_(weight(seed + at, name, tuple(named[name].shape)))
    return net


def digest(x):
    """A weighted mean and the root mean square."""
    if isinstance(x, torch.Tensor):
        x = x.detach().numpy()
    x = np.asarray(x, dtype=np.float64).ravel()
    weights = 1.0 - (np.arange(x.size) % 7) / 4.0
    return [float((x * weights).mean()), float(np.sqrt((x * x).mean()))]


def step(net, optimizer, loss_of, variant):
    """A training step: forward, backward, optimiser."""
    if variant == "torch_compile":
        loss_of = torch.compile(loss_of)

    def run():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss

    return run


def channels_last(variant, net, x):
    """Both in the layout that oneDNN likes best, if that is the variant."""
    if variant == "torch_nhwc":
        net, x = (t.to(memory_format=torch.channels_last) for t in (net, x))
    return net, x
