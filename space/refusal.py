"""What a user is told when a request is not served: one sentence, without paths."""

from __future__ import annotations


class Refusal(ValueError):
    """A request that cannot be served; its text is for the user."""
