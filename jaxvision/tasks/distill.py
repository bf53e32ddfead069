"""Distillation: any task, with a teacher's outputs beside its targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from jaxvision import losses
from jaxvision.models import barrier, im2col
from jaxvision.tasks.task import Context, Examples, Task, Variables


@dataclass(frozen=True)
class Distill:
    """Wraps the student's task; the teachers see the very same augmented, mixed pixels, in evaluation mode.

    On CPU one network follows the other: measured twice on three pairs of networks, a step takes 0.86 to 0.99 of the
    time that it takes where XLA has them run side by side.

    Attributes:
      task: the student's.
      teachers: one task a teacher, at least one; their variables are `context['teachers']`, in the same order.
    """

    task: Task
    teachers: tuple[Task, ...]

    def init(self, key: jax.Array) -> Variables:
        return self.task.init(key)

    def examples(self, context: Context, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name) -> Examples:
        examples = self.task.examples(context, ids, key, step, axis_name)
        images, outputs = examples.images, []
        for teacher, variables in zip(self.teachers, context['teachers'], strict=True):
            with im2col.layers(many=False):  # A stack of students shares them.
                outputs.append(teacher.forward(variables, images, None)[0])
            images = barrier.wait(images, jax.tree.leaves(outputs[-1])[0])
        return examples._replace(images=images, teacher=self.task.ensemble(outputs))

    def clean(self, context: Context, ids: jax.Array) -> Examples:
        return self.task.clean(context, ids)

    def training(self, strengths, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name):
        return self.task.training(strengths, ids, key, step, axis_name)

    def forward(self, variables: Variables, images: jax.Array, training) -> tuple[Any, Any]:
        return self.task.forward(variables, images, training)

    def losses(self, outputs: Any, examples: Examples, strengths) -> dict[str, jax.Array]:
        weight, temperature = strengths['distill_weight'], strengths['distill_temperature']
        student = self.task.losses(outputs, examples, strengths)['loss']
        imitation = self.task.imitation(outputs, examples.teacher, temperature)
        return {
            'loss': losses.combine(student, imitation, weight, temperature),
            'student_loss': student,
            'distillation_loss': imitation,
        }

    def decode(self, outputs: Any, examples: Examples, strengths) -> Any:
        return self.task.decode(outputs, examples, strengths)

    def ensemble(self, outputs: Sequence[Any]) -> Any:
        return self.task.ensemble(outputs)

    def imitation(self, outputs: Any, teacher: Any, temperature) -> jax.Array:
        return self.task.imitation(outputs, teacher, temperature)
