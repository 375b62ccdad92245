"""Trainings by name: those of the shipped models, those of the papers' tables."""
