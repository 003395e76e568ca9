"""Judging the whole loop on simulated systems: one episode in virtual time, figures of many, beside baselines, as JSON and as a page."""
