"""Diffusion: schedule, denoising step, SDXL models (real or small), sampling and LoRA."""
