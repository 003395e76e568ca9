"""Forecasts of series by libraries, off the hot path: models by class path, fitted in a worker (`models.adapters.refits`) to half-hour means.

A day at a time each series tries those that are configured on data that was held back (`choosing`); the best is used where it beats both
the plain level and the profile that is learnt on line (`forecasts`). Libraries are reached through what their classes offer (`forecaster`).
"""
