"""Models that label: whatever they are, they are asked for boxes of the pool's classes in one way."""

from tasks.labelling.teachers.found import FLOOR, Found, Teacher, nothing
from tasks.labelling.teachers.opening import open_teacher, with_masks

__all__ = ["FLOOR", "Found", "Teacher", "nothing", "open_teacher", "with_masks"]
