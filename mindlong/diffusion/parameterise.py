"""What a network may predict (eps, v or x0) and how one follows from another.

Plain arithmetic on numpy arrays or tensors. `alpha` and `sigma` are the factors of x = alpha x0 +
sigma eps, alpha^2 + sigma^2 = 1,
as floats or as arrays that broadcast against x; v = alpha eps - sigma x0 (arXiv 2202.00512,
appendix D).
"""

from __future__ import annotations

from typing import Any

from mindlong.utils.errors import ConfigError, did_you_mean

PREDICTIONS = ("eps", "v", "x0")


def check_prediction(name: str) -> str:
    """`name` itself, if it is one of PREDICTIONS (ConfigError else)."""
    if name not in PREDICTIONS:
        raise ConfigError(
            f"prediction is {name!r}; a network predicts eps, v or x0.{did_you_mean(name, PREDICTIONS)}"
        )
    return name


def add_noise(x0: Any, eps: Any, alpha: Any, sigma: Any) -> Any:
    """The noisy sample x."""
    return alpha * x0 + sigma * eps


def v_of(x0: Any, eps: Any, alpha: Any, sigma: Any) -> Any:
    """The velocity v of a known pair."""
    return alpha * eps - sigma * x0


def x0_from_eps(x: Any, eps: Any, alpha: Any, sigma: Any) -> Any:
    """The clean sample that `eps` implies. Two products rather than one quotient: the original's
    rounding at alpha near 0.
    """
    return x * (1.0 / alpha) - eps * (sigma / alpha)


def eps_from_x0(x: Any, x0: Any, alpha: Any, sigma: Any) -> Any:
    """The noise that `x0` implies."""
    return (x - alpha * x0) / sigma


def x0_from_v(x: Any, v: Any, alpha: Any, sigma: Any) -> Any:
    """The clean sample that `v` implies; exact also where there is no signal left."""
    return alpha * x - sigma * v


def eps_from_v(x: Any, v: Any, alpha: Any, sigma: Any) -> Any:
    """The noise that `v` implies."""
    return alpha * v + sigma * x


def to_x0(prediction: str, x: Any, out: Any, alpha: Any, sigma: Any) -> Any:
    """x0 from a network output of the kind `prediction`."""
    if prediction == "eps":
        return x0_from_eps(x, out, alpha, sigma)
    return x0_from_v(x, out, alpha, sigma) if prediction == "v" else out


def to_eps(prediction: str, x: Any, out: Any, alpha: Any, sigma: Any) -> Any:
    """eps from a network output of the kind `prediction`."""
    if prediction == "eps":
        return out
    return (eps_from_v if prediction == "v" else eps_from_x0)(x, out, alpha, sigma)


def target(prediction: str, x0: Any, eps: Any, alpha: Any, sigma: Any) -> Any:
    """What the network should have said, given the truth."""
    if prediction == "eps":
        return eps
    return v_of(x0, eps, alpha, sigma) if prediction == "v" else x0
