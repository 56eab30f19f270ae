"""The stages that heliograph comes with, in the order in which they follow each other."""

from __future__ import annotations

from heliograph.protocol import signals
from heliograph.stages import checkpoints, checks
from heliograph.stages.stage import Stage

EVALUATION = Stage(
    name="evaluation",
    label="eval",
    trigger=signals.TRAINING_COMPLETE,
    check_input=checks.check_evaluation_input,
    later_changes=checks.model_changes,
    done=signals.EVAL_COMPLETE,
    failed=signals.EVAL_FAILED,
    check_output=checks.check_evaluation,
    command=("evaluate", "--experiment", "{experiment}", "--checkpoint", "{input}"),
    parts=checkpoints.list_parts,
)

ANALYSIS = Stage(
    name="analysis",
    label="analysis",
    trigger=signals.EVAL_COMPLETE,
    check_input=checks.check_evaluation,
    done=signals.ANALYSIS_COMPLETE,
    failed=signals.ANALYSIS_FAILED,
    check_output=checks.check_analysis,
    command=("analyse", "{experiment}"),
    working_folder="analysis",
)

STAGES = (EVALUATION, ANALYSIS)
BY_NAME = {stage.name: stage for stage in STAGES}
