"""One bar per job, with the development CCC behind it; every logged value goes to the job's history.json."""

from __future__ import annotations

from transformers import PrinterCallback, ProgressCallback, Trainer


class JobProgress(ProgressCallback):
    """Trainer's bar without its two printed lines per epoch and its evaluation bars."""

    def on_prediction_step(self, args, state, control, **kwargs):
        pass

    def on_log(self, args, state, control, logs=None, **kwargs):
        pass

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if self.training_bar is not None and metrics:
            self.training_bar.set_postfix(development_ccc=f"{metrics['eval_ccc_mean']:.3f}")


def show_progress(trainer: Trainer, enabled: bool) -> None:
    """
    Replace what the trainer shows.

    Args:
        trainer: not started yet.
        enabled: show a bar; nothing is shown without it.
    """
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    if enabled:
        trainer.add_callback(JobProgress)
