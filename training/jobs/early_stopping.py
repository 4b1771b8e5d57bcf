"""Early stopping that an interruption does not change."""

from __future__ import annotations

from transformers import EarlyStoppingCallback


class EarlyStopping(EarlyStoppingCallback):
    """Counts on from where an interrupted training was; Trainer would let it begin anew, and so train for longer."""

    def on_train_begin(self, args, state, control, **kwargs):
        super().on_train_begin(args, state, control, **kwargs)
        kept = state.stateful_callbacks.get(type(self).__name__, {})
        self.early_stopping_patience_counter = kept.get("attributes", {}).get("early_stopping_patience_counter", 0)
