"""The keys of a scheduler_config.json, each checked when it is read; which were read is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from mindlong.diffusion.samplers.spacing import SPACINGS
from mindlong.utils.errors import InputFileError, did_you_mean

# What a key says that changes nothing for a sampler without that key. Of a key that is not here
# any value does: it only matters beside another, or to the solver that the file names.
IDLE: dict[str, tuple[Any, ...]] = {
    "clip_sample": (False,),
    "thresholding": (False,),
    "use_karras_sigmas": (False,),
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "use_lu_lambdas": (False,),
    "final_sigmas_type": ("zero",),
    "lambda_min_clipped": (-math.inf,),
    "interpolation_type": ("linear",),
    "timestep_type": ("discrete",),
    "sigma_min": (),
    "sigma_max": (),
    "shift_terminal": (),
    "solver_order": (1, 2),
    "solver_type": ("midpoint", "logrho", "bh1", "bh2"),
    "algorithm_type": ("dpmsolver++", "deis", "data_prediction"),
    "lower_order_final": (True,),
    "euler_at_final": (False,),
    "variance_type": ("fixed_small", "fixed_small_log"),
    "predict_x0": (True,),
}
# Keys that only matter beside another, to a solver that is not here, or to diffusers itself.
BESIDE = (
    "clip_sample_range",
    "sample_max_value",
    "dynamic_thresholding_ratio",
    "time_shift_type",
    "flow_shift",
    "set_alpha_to_one",
    "skip_prk_steps",
    "disable_corrector",
    "solver_p",
    "original_inference_steps",
    "timestep_scaling",
    "noise_sampler_seed",
    "predictor_order",
    "corrector_order",
    "tau_func",
    "eta",
    "timestep_spacing",
    "steps_offset",
)


class Keys:
    """The table of a scheduler_config.json.

    Args:
        table: its content; keys that are null count as missing.
        where: its place, for sentences.

    Every reading method raises InputFileError, one sentence with place and key, where a value is
    not of its kind.
    """

    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        self.table = {key: value for key, value in table.items() if value is not None}
        self.where = where
        self.asked: set[str] = set()

    def get(self, key: str, usual: Any) -> Any:
        """The value as it stands there."""
        self.asked.add(key)
        return self.table.get(key, usual)

    def word(self, key: str, usual: str, known: Iterable[str]) -> str:
        """One of the words `known`."""
        word = self.get(key, usual)
        if not isinstance(word, str) or word not in known:
            self.refuse(f"{key} is {word!r}.{did_you_mean(str(word), known)}")
        return word

    def flag(self, key: str, usual: bool) -> bool:
        """True or false."""
        value = self.get(key, usual)
        if not isinstance(value, bool):
            self.refuse(f"{key} is {value!r}; it must be true or false")
        return value

    def number(
        self, key: str, usual: float, *, minimum: float | None = None, finite: bool = True
    ) -> float:
        """A number, finite unless said otherwise."""
        value = self.get(key, usual)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            self.refuse(f"{key} is {value!r}; it must be a number")
        if finite and math.isinf(value):
            self.refuse(f"{key} is {value!r}; it must be finite")
        if minimum is not None and value < minimum:
            self.refuse(f"{key} is {value!r}; it must be at least {minimum:g}")
        return float(value)

    def optional(self, key: str, *, minimum: float | None = None) -> float | None:
        """A number, or None where there is none."""
        if self.get(key, None) is None:
            return None
        return self.number(key, 0.0, minimum=minimum)

    def whole(self, key: str, usual: int, *, maximum: int = 10**6) -> int:
        """A whole number from 0 to `maximum`."""
        value = self.number(key, usual, minimum=0)
        if value != int(value) or value > maximum:
            self.refuse(f"{key} is {value:g}; it must be a whole number from 0 to {maximum}")
        return int(value)

    def order(self, most: int) -> int:
        """solver_order, from 1 to `most`."""
        order = self.whole("solver_order", 2)
        if not 1 <= order <= most:
            self.refuse(f"solver_order is {order}; it must be 1 to {most}")
        return order

    def wholes(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers; none where there is no list."""
        value = self.get(key, [])
        if not isinstance(value, list) or any(type(each) is not int for each in value):
            self.refuse(f"{key} is {value!r}; it must be a list of whole numbers")
        return tuple(value)

    def spacing(self, usual: str) -> str:
        """timestep_spacing."""
        return self.word("timestep_spacing", usual, SPACINGS)

    def offset(self) -> int:
        """steps_offset, which samplers only use with the spacing "leading"."""
        return self.whole("steps_offset", 0)

    def refuse(self, what: str) -> NoReturn:
        """Raise the sentence "FILE: what"."""
        raise InputFileError(f"{self.where}: {what}")

    def refuse_learned_variance(self) -> None:
        """A network that predicts its variance has twice the channels."""
        word = self.table.get("variance_type", "")
        if word in ("learned", "learned_range"):
            self.refuse(
                f"variance_type is {word!r}: its network predicts a variance beside the noise, which is not read"
            )

    def unread(self) -> list[str]:
        """ "key=value" of what was never read and changes numbers, sorted; names that are no
        diffusers keys among them.
        """
        left = {k: v for k, v in self.table.items() if k not in self.asked and k[:1] != "_"}
        return sorted(
            f"{key}={value!r}"
            for key, value in left.items()
            if key not in BESIDE and value not in IDLE.get(key, ())
        )
