"""A request that is not served, and what its user is told: one sentence, without paths."""

from __future__ import annotations


class Refusal(ValueError):
    """A request that cannot be served; its text is for the user."""
