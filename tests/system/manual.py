# SPDX-License-Identifier: Apache-2.0
"""Examples of the manual, for the cases that try them as they are written there. tests/lint/check-examples looks for
calls of manual(): an example that no case has is an error."""

import re

FOLDER = "/opt/scopemon-man"


def manual(page, section):
    """The literal blocks in a section (.Sh or .Ss) of a manual page."""
    with open(f"{FOLDER}/{page}", encoding="utf-8") as f:
        text = f.read()
    body = re.search(rf"^\.S[hs] {re.escape(section)}\n(.*?)(?=^\.S[hs] |\Z)", text, re.M | re.S).group(1)
    return [b.replace("\\e", "\\") for b in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", body, re.M | re.S)]
