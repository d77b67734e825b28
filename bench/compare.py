#!/usr/bin/env python3
"""Short commands beside each other, for machines on which the time of one run says little.

  bench/compare.py ROUNDS NAME=COMMAND [NAME=COMMAND ...]      a COMMAND may begin with VARIABLE=VALUE

Runs them in turn, ROUNDS times, output thrown away, and prints wall time and CPU time (user + system), minimum and
median in milliseconds. Compare minima and CPU times within one call.
"""
import os, shlex, statistics, sys, time


def once(command):
    argv, env = shlex.split(command), dict(os.environ)
    while "=" in argv[0].split("/")[0]:
        name, value = argv.pop(0).split("=", 1)
        env[name] = value
    to_null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    began = time.perf_counter()
    _, status, used = os.wait4(os.posix_spawnp(argv[0], argv, env, file_actions=to_null), 0)
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, os.waitstatus_to_exitcode(status)


if len(sys.argv) < 3:
    sys.exit(__doc__)
commands = [argument.split("=", 1) for argument in sys.argv[2:]]
seen = {name: [] for name, _ in commands}
for _ in range(int(sys.argv[1])):
    for name, command in commands:
        seen[name].append(once(command))
print(f"{'':16} {'wall min':>9} {'median':>9} {'cpu min':>9} {'median':>9}  exit")
for name, runs in seen.items():
    wall, cpu, codes = zip(*runs)
    times = [f(t) * 1000 for t in (wall, cpu) for f in (min, statistics.median)]
    print(f"{name:16} " + " ".join(f"{t:9.2f}" for t in times) + f"  {sorted(set(codes))}")
