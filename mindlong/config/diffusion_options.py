"""The noising process and the loss of a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mindlong.config.option import option
from mindlong.diffusion.parameterise import PREDICTIONS
from mindlong.diffusion.schedules import SCHEDULES
from mindlong.networks import table


@dataclass
class DiffusionOptions:
    """The noising process and the loss."""

    timesteps: int = option(1000, "steps of the noising process", minimum=1)
    schedule: str = option(
        "cosine",
        "noise of the steps; scaled_linear is that of the latent families",
        choices=tuple(SCHEDULES),
    )
    beta_start: float = option(
        0.00085,
        "linear, scaled_linear: noise of the first step",
        minimum=0,
        when="schedule=linear|scaled_linear",
    )
    beta_end: float = option(
        0.012,
        "linear, scaled_linear: noise of the last step",
        minimum=0,
        when="schedule=linear|scaled_linear",
    )
    snr_shift: float = option(
        1.0,
        "every signal-to-noise ratio of the schedule is divided by it, before zero_terminal_snr; "
        "CogVideoX has 3, others 1",
        minimum=0.01,
    )
    zero_terminal_snr: bool = option(
        False, "stretch the schedule so that the last step is pure noise (v and x0 only)"
    )
    shift: float = option(
        1.0,
        "training draws noisier timesteps more often; a time u in (0, 1) becomes "
        "shift u / (1 + (shift - 1) u); videos, whose frames repeat each other, want 2 to 4",
        minimum=0.01,
    )
    terminal_mean: float = option(
        0.0,
        "share of samples put at the last timestep, where nothing of the clip is left and "
        "the answer is the mean of all clips with its caption; needs zero_terminal_snr",
        minimum=0,
    )
    terminal_clips: int = option(
        3072,
        "in pixels: the means of terminal_mean are taken over that many clips (in latents: latents.clips)",
        minimum=1,
        when="terminal_mean",
    )
    prediction: str = option("eps", "what the network predicts", choices=PREDICTIONS)
    loss: str = option("l1", "distance between prediction and target", choices=("l1", "l2"))
    cond_drop: float = option(
        0.0,
        "share of training samples whose condition is dropped; guidance needs some, 0.1 is usual",
        minimum=0,
    )
    focus_present: float = option(
        0.0,
        "in pixels: share of training samples whose frames see only themselves, as if they were images",
        minimum=0,
    )
    min_snr: float = option(
        0.0,
        "Min-SNR gamma (arXiv 2303.09556): nearly clean timesteps, whose SNR is above it, weigh less; "
        "0: all alike, 5 is usual",
        minimum=0,
    )

    def problems(self, family: str) -> Iterator[str]:
        """Sentences on fields out of their range or without meaning for the model's family."""
        for name in ("terminal_mean", "cond_drop", "focus_present"):
            if getattr(self, name) > 1:
                yield f"diffusion.{name} is {getattr(self, name):g}; a share is at most 1"
        if self.beta_end > 1 or self.beta_start > 1:
            yield f"diffusion.beta_start is {self.beta_start:g} and beta_end {self.beta_end:g}; betas are at most 1"
        if not (self.beta_start and self.beta_end):
            yield f"diffusion.beta_start is {self.beta_start:g} and beta_end {self.beta_end:g}; betas are above 0"
        if self.terminal_mean and not self.zero_terminal_snr:
            yield "diffusion.terminal_mean needs diffusion.zero_terminal_snr=true: only pure noise tells nothing of the clip"
        if self.zero_terminal_snr and self.prediction == "eps":
            yield "diffusion.zero_terminal_snr needs diffusion.prediction=v or x0: eps says nothing where only noise is left"
        if self.focus_present and not table.has_feature(family, "focus"):
            yield (
                f"diffusion.focus_present is {self.focus_present:g}; the family {family} takes no mask that lets the frames "
                f"of a sample see only themselves, {' and '.join(table.with_feature('focus'))} does"
            )
