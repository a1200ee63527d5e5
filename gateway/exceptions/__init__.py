"""Exceptions as tasks: what the hub cannot settle by itself, who is to act, until when.

Not alerts: one task per cause, however often it strikes; it has an owner, a due time, comments and an
end, and closes by itself once its cause is gone.
"""

from gateway.exceptions import tasks, telling
from gateway.exceptions.causes import Rules
from gateway.exceptions.service import Exceptions
from gateway.exceptions.tasks import Note, Task
from gateway.exceptions.telling import Telling

__all__ = ["TABLES", "Exceptions", "Note", "Rules", "Task", "Telling"]

TABLES = (*tasks.TABLES, *telling.TABLES)
