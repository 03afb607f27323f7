# SPDX-License-Identifier: Apache-2.0
"""What the container prints is in the journal of its unit: every line once, as a string."""

from harness import check, check_equal, journal, messages, service, variants

EVERY_SUITE = True
LINES = 100
PAYLOAD = f"""i=0
while [ $i -lt {LINES} ]; do i=$((i+1)); echo "numbered $i"; done
echo "on standard error" >&2
printf "without an end\""""
SETS = {"plain": {}, "tty": {"tty": True}, "delegate": {"delegate": True},
        "delegate_tty": {"delegate": True, "tty": True}}


@variants("journal_every_line_once", **SETS)
def journal_every_line_once(**how):
    check_lines(**how)


@variants("journal_every_line_once_k8sfile", **{"plain": {}, "tty": {"tty": True}})
def journal_every_line_once_k8sfile(**how):
    """Here the monitor does not write to the journal; what podman run prints must get there.

    It prints both streams to the same socket, so one may go on in the other's unfinished line.
    """
    check_lines(options=["--log-driver=k8s-file"], **how)


def check_lines(**how):
    unit = service(PAYLOAD, **how)
    unit.start()
    unit.expect_result()
    said = [m for m in messages("-u", "baz") if is_ours(m)]
    check(not any(isinstance(m, list) for m in said), f"byte arrays, not strings: {said[:4]}")
    check(not any(m.endswith(("\n", "\r")) for m in said), f"line endings in MESSAGE: {said[:4]!r}")
    expected = [f"numbered {i + 1}" for i in range(LINES)]
    check_equal([m for m in said if m.startswith("numbered")], expected, "numbered lines")
    for text in ("on standard error", "without an end"):
        check_equal(sum(m.count(text) for m in said), 1, f"number of times that {text!r} is there")
    plain = journal("-u", "baz", output="cat").splitlines()
    check_equal([line for line in plain if line.startswith("numbered")], expected, "lines with -o cat")
    ours = journal("-u", "baz", "CONTAINER_NAME=baz", output="cat").splitlines() # Podman 4.3 prints one of its own
    check("" not in ours, "empty lines with -o cat")


def is_ours(message):
    text = bytes(message).decode() if isinstance(message, list) else message or ""
    return any(part in text for part in ("numbered", "on standard", "without an"))
