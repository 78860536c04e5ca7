"""Schedules, losses and samplers."""
