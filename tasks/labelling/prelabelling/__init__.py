"""A teacher looks at every picture of a pool: in shards, in several processes, and never twice."""

from tasks.labelling.prelabelling.learning import known_calibration, known_missed, learn
from tasks.labelling.prelabelling.making import prelabel
from tasks.labelling.prelabelling.prelabels import Prelabels, newest
from tasks.labelling.prelabelling.settings import Settings

__all__ = ["Prelabels", "Settings", "known_calibration", "known_missed", "learn", "newest", "prelabel"]
