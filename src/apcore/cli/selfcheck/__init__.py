"""The kernel's self-check: short steps that check the promises of the kernel on this machine."""

from apcore.cli.selfcheck.steps import STEPS, Step, StepFailed, StepResult, run_step

__all__ = ["STEPS", "Step", "StepFailed", "StepResult", "run_step"]
