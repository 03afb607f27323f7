# SPDX-License-Identifier: Apache-2.0
"""What is measured. Each function measures one monitor once and returns {row: value}."""

import collections
import concurrent.futures
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import time

from .stage import Skip, Trouble, cpu_ns, is_running, memory, poll_until, read, switches, wait_end

MB = 1_000_000
SETTLE = 0.03  # s; what is left in a pipe when its writer has done

Metric = collections.namedtuple("Metric", "name function rows rounds quick_rounds")
METRICS = []


def metric(rows, rounds=5, quick_rounds=3):
    """Registers a function; rows: [(name, title, unit, goal)]."""
    def decorate(function):
        METRICS.append(Metric(function.__name__, function, rows, rounds, quick_rounds))
        return function

    return decorate


def at_least(x):
    return ("ratio", ">=", x)


def at_most(x):
    return ("ratio", "<=", x)


def below(x):
    return ("value", "<=", x)


# --- the byte path ---

def partials(path):
    """Partial records of stdout in a log."""
    if os.path.getsize(path) == 0:
        return 0
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return len(re.findall(rb"\+..:.. std(?:out|err) P ", data))


def flood(stage, monitor, n_bytes, word, *, streams=1, **options):
    """(MB/s, CPU seconds per GB, the container's log inspected by check)"""
    check = options.pop("check", None)
    with stage.container(monitor, f"{{gate}} {word} hang", **options) as c:
        before = c.cpu()
        c.open_gate()
        ns = c.wait_flood()
        time.sleep(SETTLE)
        total = n_bytes * streams
        return total / MB / (ns / 1e9), (c.cpu() - before) / total, check(c) if check else None


def size_of(quick, full):
    return full if not quick else full // 4


@metric([("k8s20", "k8s-file, 20-byte lines", "MB/s", at_least(2.8))])
def k8s20(stage, monitor, quick):
    n = size_of(quick, 120 * MB)
    return {"k8s20": flood(stage, monitor, n, f"flood={n},20")[0]}


@metric([("k8s100", "k8s-file, 100-byte lines", "MB/s", at_least(2.8)),
         ("cpu100", "monitor CPU, 100-byte lines", "s/GB", at_most(0.36)),
         ("partials", "partial records where lines are whole", "/GB", below(0))], 7)
def k8s100(stage, monitor, quick):
    n = size_of(quick, 400 * MB)
    speed, cpu, cut = flood(stage, monitor, n, f"flood={n},100", check=lambda c: partials(c.log()))
    return {"k8s100": speed, "cpu100": cpu, "partials": cut * 1000 * MB / n}


@metric([("k8s100x2", "k8s-file, 100-byte lines, two streams", "MB/s", at_least(2.5))])
def k8s100x2(stage, monitor, quick):
    n = size_of(quick, 200 * MB)
    return {"k8s100x2": flood(stage, monitor, n, f"flood-both={n},100", streams=2)[0]}


@metric([("k8s1000", "k8s-file, 1000-byte lines", "MB/s", at_least(1.4))])
def k8s1000(stage, monitor, quick):
    n = size_of(quick, 400 * MB)
    return {"k8s1000": flood(stage, monitor, n, f"flood={n},1000")[0]}


@metric([("nolines", "k8s-file, no newline at all", "MB/s", at_least(1.8))])
def nolines(stage, monitor, quick):
    n = size_of(quick, 400 * MB)
    return {"nolines": flood(stage, monitor, n, f"flood={n},0")[0]}


@metric([("perline", "k8s-file, 100-byte lines, one write each", "MB/s", at_least(1)),
         ("perline_cpu", "  its CPU", "s/GB", at_most(0.8))])
def perline(stage, monitor, quick):
    n = size_of(quick, 120 * MB)
    speed, cpu, _ = flood(stage, monitor, n, f"flood={n},100,100")
    return {"perline": speed, "perline_cpu": cpu}


@metric([("paced", "monitor CPU per line, 2000 lines/s", "us", at_most(0.65))], 5, 3)
def paced(stage, monitor, quick):
    lines = 1000 if quick else 4000
    with stage.container(monitor, f"{{gate}} paced={lines},100,2000 hang") as c:
        before = c.cpu()
        c.open_gate()
        c.wait_flood()
        time.sleep(SETTLE)
        return {"paced": (c.cpu() - before) / 1000 / lines}


@metric([("journald", "journald, sender's CPU per line", "us", at_most(0.3)),
         ("journald_speed", "  lines", "1/ms", None)])
def journald(stage, monitor, quick):
    n = size_of(quick, 24 * MB)
    speed, cpu, _ = flood(stage, monitor, n, f"flood={n},100", log="journald")
    return {"journald": cpu * 100 / 1000, "journald_speed": speed * 10}


@metric([("tty", "tty, 100-byte lines", "MB/s", at_least(1.2))])
def tty(stage, monitor, quick):
    n = size_of(quick, 80 * MB)
    return {"tty": flood(stage, monitor, n, f"flood={n},100", args=["-t"])[0]}


def attach(stage, monitor, n_bytes, n_clients):
    with stage.container(monitor, f"{{gate}} flood={n_bytes},100 hang") as c:
        with subprocess.Popen([stage.tool, "attach", f"{c.bundle}/attach", str(n_clients), str(n_bytes)],
                              stdout=subprocess.PIPE) as clients:
            clients.stdout.readline()
            time.sleep(SETTLE)
            begin = time.monotonic()
            c.open_gate()
            wait_end(clients.pid)
            seconds = time.monotonic() - begin
            if clients.wait() != 0:
                raise Trouble("the clients did not get everything")
            return n_bytes / MB / seconds


@metric([("attach1", "attach, 1 client", "MB/s", at_least(1.5))])
def attach1(stage, monitor, quick):
    return {"attach1": attach(stage, monitor, size_of(quick, 200 * MB), 1)}


@metric([("attach10", "attach, 10 clients", "MB/s", at_least(1.5))])
def attach10(stage, monitor, quick):
    return {"attach10": attach(stage, monitor, size_of(quick, 100 * MB), 10)}


@metric([("stuck", "attach, a client that never reads: stall", "s", below(11)),
         ("stuck_exit", "  exit seen after", "ms", below(50))], 1, 1)
def stuck(stage, monitor, quick):
    """None: it never ended (within 13 s)."""
    n = 8 * MB
    if quick:
        raise Skip("takes half a minute")
    c = stage.container(monitor, f"{{gate}} flood={n},100 {{gate}}")
    with subprocess.Popen([stage.tool, "stuck", f"{c.bundle}/attach"], stdout=subprocess.PIPE) as client:
        try:
            client.stdout.readline()
            c.open_gate()
            stall, seen = c.wait_flood(13) / 1e9, None
            begin = time.monotonic()
            c.open_gate()
            poll_until(lambda: os.path.exists(f"{stage.exits}/{c.cid}"), "the exit file", 5, 0.0005)
            seen = (time.monotonic() - begin) * 1000
            return {"stuck": stall, "stuck_exit": seen}
        except Trouble:
            return {"stuck": None, "stuck_exit": None}
        finally:
            client.kill()
            try:
                c.close(3)
            except Trouble:
                pass


def strace_attached(pids, path):
    words = [word for p in pids for word in ("-p", str(p))]
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", path, *words], stderr=subprocess.PIPE, text=True)
    for _ in pids:
        tracer.stderr.readline()
    return tracer


@metric([("syscalls", "system calls per MB, 100-byte lines", "", below(120))], 1, 1)
def syscalls(stage, monitor, quick):
    n = 8 * MB
    if not shutil.which("strace"):
        raise Skip("no strace")
    with stage.container(monitor, f"{{gate}} flood={n},100 hang") as c:
        path = f"{c.bundle}/strace"
        tracer = strace_attached(c.processes(), path)
        c.open_gate()
        c.wait_flood()
        time.sleep(SETTLE)
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
        total = next(line for line in read(path).splitlines() if line.endswith(" total"))
        return {"syscalls": int(total.split()[3]) / (n / MB)}


# --- lives ---

@metric([("start", "start, exec to pid: fake runtime", "ms", at_most(0.6)),
         ("exit_file", "exit to exit file", "ms", at_most(1)),
         ("exit_command", "exit to exit command", "ms", at_most(0.8)),
         ("life_cpu", "monitor CPU of a life", "ms", at_most(0.5))], 200, 20)
def lives(stage, monitor, quick):
    """The CPU is that of all processes, less what runtime, target and exit command cost by themselves."""
    result, null = stage.life(monitor), stage.life(monitor, kind="null")
    return {"start": result["start"] / 1e6, "exit_file": result["exit_file"] / 1e6,
            "exit_command": result["exit_command"] / 1e6, "life_cpu": (result["cpu"] - null["cpu"]) / 1e6}


@metric([("exec", "exec session, exec to exit code", "ms", at_most(0.5)),
         ("exec_cpu", "  CPU, the runtime's included", "ms", at_most(0.5))], 60, 20)
def exec_session(stage, monitor, quick):
    """As CRI-O's ExecSync makes them, one after the other."""
    result = stage.life(monitor, kind="exec")
    return {"exec": result["exec"] / 1e6, "exec_cpu": result["cpu"] / 1e6}


@metric([("exec_50", "50 exec sessions at once, until all have ended", "ms", at_most(0.5))], 5, 3)
def exec_at_once(stage, monitor, quick):
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        begin = time.monotonic()
        for future in [pool.submit(stage.life, monitor, kind="exec") for _ in range(50)]:
            future.result()
        return {"exec_50": (time.monotonic() - begin) * 1000}


@metric([("exec_storm", "100 exec sessions by Podman's API: processes left 2 s later", "", below(0)),
         ("exec_storm_memory", "  their PSS + page tables", "KiB", below(0))], 1, 1)
def exec_storm(stage, monitor, quick):
    """Their exit commands are due in 300 s, as those of podman system service."""
    sessions = []
    args = ["--exit-delay", "300", "--exit-command", stage.tool, "--exit-command-arg", "stamp", "--exit-command-arg", "/dev/null"]
    with stage.container(monitor, "hang") as box:
        time.sleep(0.5)
        try:
            for _ in range(100):
                sessions.append(stage.container(monitor, "exit=0", args=args, exec_in=box))
            time.sleep(2)
            left = [p for s in sessions if is_running(s.pid) for p in s.processes()]
            return {"exec_storm": len(left), "exec_storm_memory": sum(sum(memory(p)) for p in left)}
        finally:
            for s in sessions:
                s.kill()
                shutil.rmtree(s.bundle, ignore_errors=True)


def runc_bundle(stage):
    path = stage.path("runc")
    if os.path.exists(path):
        return path
    os.makedirs(f"{path}/rootfs/proc")
    shutil.copy(stage.tool, f"{path}/rootfs/pause")
    config = {"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "hostname": "bench",
              "process": {"args": ["/pause", "pause"], "cwd": "/", "env": ["PATH=/"], "user": {"uid": 0, "gid": 0}},
              "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
              "linux": {"namespaces": [{"type": t} for t in ("pid", "mount", "ipc", "uts")]}}
    with open(f"{path}/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)
    return path


@metric([("start_runc", "start, exec to pid: runc", "ms", at_most(0.9))], 30, 6)
def start_runc(stage, monitor, quick):
    runtime = shutil.which("runc")
    if not runtime:
        raise Skip("no runc")
    return {"start_runc": stage.life(monitor, runtime=runtime, bundle=runc_bundle(stage))["start"] / 1e6}


# --- standing about ---

def crowd(stage, monitor, n, args=()):
    """Memory per container of N side by side, in KiB: PSS and page tables of all processes of the monitor."""
    containers = []
    try:
        for _ in range(n):
            containers.append(stage.container(monitor, "hang", args=args))
        time.sleep(0.5)
        pids = [p for c in containers for p in c.processes()]
        found = [memory(p) for p in pids]
        return sum(pss for pss, _ in found) / n, sum(pte for _, pte in found) / n
    finally:
        for c in containers:
            c.close()


@metric([("memory", "idle container: PSS + page tables", "KiB", at_most(1)),
         ("memory_pss", "  PSS", "KiB", None), ("memory_pte", "  page tables", "KiB", None)], 1, 1)
def memory_pipes(stage, monitor, quick):
    pss, pte = crowd(stage, monitor, 40 if quick else 100)
    return {"memory": pss + pte, "memory_pss": pss, "memory_pte": pte}


@metric([("memory_tty", "idle container with a terminal: PSS + page tables", "KiB", at_most(1))], 1, 1)
def memory_tty(stage, monitor, quick):
    return {"memory_tty": sum(crowd(stage, monitor, 20 if quick else 100, ["-t"]))}


@metric([("memory500", "idle container, 500 side by side: PSS + page tables", "KiB", at_most(1))], 1, 1)
def memory500(stage, monitor, quick):
    if quick:
        raise Skip("not with --quick")
    return {"memory500": sum(crowd(stage, monitor, 500))}


@metric([("growth", "resident growth after much output", "KiB", below(576))], 1, 1)
def growth(stage, monitor, quick):
    """The ring is two streams of 256 KiB, and what the modules keep beside them."""
    n = size_of(quick, 1000 * MB)
    with stage.container(monitor, f"{{gate}} flood={n},100 hang") as c:
        before = sum(sum(memory(p)) for p in c.processes())
        c.open_gate()
        c.wait_flood()
        time.sleep(SETTLE if quick else 3)
        return {"growth": sum(sum(memory(p)) for p in c.processes()) - before}


@metric([("idle_switches", "idle: context switches", "", below(0)), ("idle_cpu", "idle: CPU", "us", below(0))], 1, 1)
def idle(stage, monitor, quick):
    with stage.container(monitor, "hang") as c:
        time.sleep(1)
        pids = c.processes()
        before = sum(switches(p) for p in pids), sum(cpu_ns(p) for p in pids)
        time.sleep(3 if quick else 10)
        after = sum(switches(p) for p in pids), sum(cpu_ns(p) for p in pids)
        return {"idle_switches": after[0] - before[0], "idle_cpu": (after[1] - before[1]) / 1000}


# --- apart from the table ---

LINE = re.compile(r"^(\d+) +(.*)$")
CALL = re.compile(r"^(\w+)\(")
RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>")
RESULT = re.compile(r"= (\d+)$")
FORKS = {"clone", "clone3", "fork", "vfork"}


def count_life(text, monitor):
    """System calls of the monitor's own processes in strace's output of a life; what they exec is not theirs."""
    kinds, begun, counts, processes = {}, {}, collections.Counter(), set()
    for pid, rest in (m.groups() for m in map(LINE.match, text.splitlines()) if m):
        call, resumed = CALL.match(rest), RESUMED.match(rest)
        name = (call or resumed).group(1) if call or resumed else None
        if not name:
            continue
        ours = kinds.get(pid, False)
        if call:
            begun[pid] = ours
        if name in FORKS and (done := RESULT.search(rest)):
            kinds.setdefault(done.group(1), begun.get(pid, ours))
        if name == "execve" and call:
            kinds[pid] = ours = rest.startswith((f'execve("{monitor}"', 'execve("/proc/self/exe"'))
        if call and ours:
            counts[name] += 1
            processes.add(pid)
    return counts, len(processes)


def strace_life(stage, monitor):
    """{system call: how often} of one life, as text."""
    if not shutil.which("strace"):
        raise Skip("no strace")
    path = stage.path("strace")
    stage.life(monitor, wrap=["strace", "-f", "-o", path, "--"])
    counts, processes = count_life(read(path), monitor)
    lines = [f"{sum(counts.values())} system calls of {processes} processes"]
    lines += [f"  {n:5}  {name}" for name, n in counts.most_common()]
    return "\n".join(lines)


def scale(stage, monitor, n):
    """N containers at once: {what: value}."""
    containers = []
    before = field_kib("MemAvailable")
    begin = time.monotonic()
    try:
        for _ in range(n):
            containers.append(stage.container(monitor, "{gate} stdout=hello\\n hang"))
        seconds = time.monotonic() - begin
        time.sleep(1)
        pids = [p for c in containers for p in c.processes()]
        found = [memory(p) for p in pids]
        used = before - field_kib("MemAvailable")
        cpu, begin = sum(cpu_ns(p) for p in pids), time.monotonic()
        for c in containers:
            c.open_gate()
        poll_until(lambda: all(os.path.getsize(c.log()) > 0 for c in containers), "all lines")
        logged = time.monotonic() - begin
        return {"containers": n, "starts per second": n / seconds, "MiB, PSS": sum(p for p, _ in found) / 1024,
                "MiB, page tables": sum(p for _, p in found) / 1024, "MiB less available, targets included": used / 1024,
                "ms until each has logged a line": logged * 1000,
                "us CPU for that line": (sum(cpu_ns(p) for p in pids) - cpu) / 1000 / n}
    finally:
        for c in containers:
            c.close()


def field_kib(key):
    return next(int(line.split()[1]) for line in read("/proc/meminfo").splitlines() if line.startswith(key + ":"))
