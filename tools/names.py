"""Which names a stack may have, so that every name made of it is one that its service takes.

tests/template/test_names.py computes both from the template: CloudFormation cuts the names that it
makes up, so policies for them stop matching, and a bucket's name has 63 characters, of which
account and region take their part.
"""

import re

LONGEST = 25
# CloudFormation makes one hyphen of two in the names that it makes up.
PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# The machine `x-abandoned-load` is that of the stack `x`, and would be the other's too.
TAKEN_ENDING = "-abandoned"


def problem(stack: str) -> str:
    """What is wrong with a stack's name, as a sentence; "" where nothing is."""
    if len(stack) > LONGEST:
        return f"{stack!r} has {len(stack)} characters, and {LONGEST} are the most."
    if len(stack) < 3:
        return f"{stack!r} is too short: a warehouse's name has three characters at least."
    if stack != stack.lower():
        return f"{stack!r} has upper-case letters, which no bucket's name may have."
    if not PATTERN.fullmatch(stack):
        return f"{stack!r} has to be letters and digits, a letter first, and single hyphens."
    if stack.endswith(TAKEN_ENDING):
        return f"{stack!r} ends in {TAKEN_ENDING}, as names of another stack do."
    return ""
