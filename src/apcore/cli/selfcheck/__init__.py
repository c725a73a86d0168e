"""The kernel's self-check: small proofs, on this machine, of what the kernel promises."""

from apcore.cli.selfcheck.steps import STEPS, Step, StepFailed, StepResult, run_step

__all__ = ["STEPS", "Step", "StepFailed", "StepResult", "run_step"]
