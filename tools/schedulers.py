"""scheduler_config.json of the processes that the tools train and measure with, as diffusers writes
them.
"""

ZERO_SNR = {  # Stable Diffusion's betas, the last timestep pure noise, v predicted
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
}
COGVIDEOX = ZERO_SNR | {"_class_name": "CogVideoXDDIMScheduler", "snr_shift_scale": 3.0}
