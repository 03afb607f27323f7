# SPDX-License-Identifier: Apache-2.0
"""Pods and podman kube play, with the stock monitor and with ours."""

import json
import os

from compare import IMAGE, WAITS, compared
from harness import Skip, quietly, run, until

KUBE = f"""apiVersion: v1
kind: Pod
metadata:
  name: kubepod
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 3
  restartPolicy: %(policy)s
  containers:
  - name: one
    image: {IMAGE}:latest
    command: {json.dumps(["/bin/sh", *WAITS[1:]])}
  - name: two
    image: {IMAGE}:latest
    command: ["/bin/sh", "-c", "echo two says; echo and errs >&2; exit 3"]
"""


def see_pod(side, what):
    side.podman("pod", "ps", "--format", "{{.Name}} {{.Status}} {{.NumberOfContainers}}", what=f"{what}: pod ps")
    out = side.need("ps", "-a", "--format", "{{.Names}}|{{.PodName}}|{{.State}}|{{.ExitCode}}", "--sort", "names")
    side.see(f"{what}: ps", sorted(side.without_infra(line) for line in out.splitlines()))


@compared(rootless=True)
def pods(side):
    """A pod with an infra container: life, verbs, end."""
    side.need("pod", "create", "--name", "pod", "--network=none")
    see_pod(side, "created")
    side.start_waiting("--pod=pod", name="baz")
    side.need("run", "-d", "--pod=pod", "--name", "qux", IMAGE, "sh", "-c", "echo x; exit 3")
    side.until_state("exited", name="qux")
    see_pod(side, "running")
    side.podman("exec", "baz", "sh", "-c", "hostname; echo in the pod")
    side.podman("logs", "qux")
    side.see("infra runs", side.state(side.infra("pod")))
    for verb in (["stop", "-t", "5"], ["start"], ["kill"], ["start"], ["restart"], ["stop", "-t", "5"]):
        side.podman("pod", *verb, "pod", what=f"pod {' '.join(verb)}")
        if verb[0] in ("start", "restart"):
            side.until_ready("baz")
            side.until_state("exited", name="qux")
        else:
            side.until_state("exited", name=side.infra("pod"))
        see_pod(side, verb[0])
    side.podman("pod", "rm", "pod", what="pod rm")
    side.podman("pod", "ps", "-q")


def ends_pods(user):
    if user and quietly(run, "podman", "--version").split()[-1].startswith("4.3."):
        raise Skip("an ordinary user's \"podman kube down\" of Podman 4.3 does not end, with the stock monitor either")


@compared(rootless=True, needs=ends_pods)
def kube(side):
    """podman kube play, down, and a pod whose containers are started again."""
    for policy in ("Never", "OnFailure"):
        path = f"{side.runtime_folder}/compare.yaml"
        with open(path, "w", encoding="utf-8") as f:
            f.write(KUBE % {"policy": policy})
        os.chmod(path, 0o644)
        status, _, err = side.raw("podman", "kube", "play", path)
        side.see(f"{policy}: kube play", (status, err))
        side.until_ready("kubepod-one")
        if policy == "Never":
            side.until_state("exited", name="kubepod-two")
            see_pod(side, "playing")
        side.podman("exec", "kubepod-one", "/bin/echo", "inside", what=f"{policy}: exec")
        until("what two says", lambda: "two says" in side.raw("podman", "logs", "kubepod-two")[1])
        if policy == "Never":
            side.podman("logs", "kubepod-two")
        side.podman("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.LogConfig.Type}}",
                    "kubepod-two", what=f"{policy}: inspect")
        status, _, err = side.raw("podman", "kube", "down", path)
        side.see(f"{policy}: kube down", (status, err))
        side.podman("ps", "-aq", what=f"{policy}: nothing remains")
        os.unlink(path)
