"""What a role is granted.

It stands apart from permissions.py because tests want these names before a cloud is set up, and
MiniStack reads its settings when it is imported.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Grant:
    """One action on one resource, as a statement of a role's policy allows it.

    The use of a key through each service that the statement names is a grant of its own.
    """

    role: str
    sid: str
    action: str
    resource: str
    via: str = ""
