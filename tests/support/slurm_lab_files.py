"""The configuration of a private Slurm, the command of each of its daemons, and the guard that ends them all.

Run as a program, this file is the guard: it imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.slurm_lab import SlurmLab

_CGROUPS = Path("/sys/fs/cgroup/memory")

# Fast instead of gentle: jobs start at once, and one that is cancelled has 1 s to end.
# CommunicationParameters keeps the daemons from listening to other hosts.
_SLURM_CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin={task_plugin}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PriorityType=priority/basic
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=5
InactiveLimit=0
KillWait=1
OverTimeLimit=0
MinJobAge=300
SlurmdParameters=config_overrides
{accounting}
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=5 DefMemPerCPU=100 State=UP
PartitionName=closed Nodes=ALL MaxTime=60 State=DRAIN
"""

_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/run/munge
AccountingStoreFlags=job_comment
AccountingStorageEnforce=associations,limits,qos
EnforcePartLimits=ALL"""

_NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=4000 State=UNKNOWN"
)

_CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
MinRAMSpace=10
"""

_SLURMDBD_CONF = """\
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge
SlurmUser={user}
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
PidFile={folder}/run/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
"""

_MY_CNF = """\
[mariadbd]
datadir={folder}/mysql
socket={folder}/run/mysql
pid-file={folder}/run/mariadbd.pid
log-error={folder}/log/mariadbd.log
skip-networking
user={user}
innodb_buffer_pool_size=64M
innodb_log_file_size=16M
innodb_flush_log_at_trx_commit=0
innodb_lock_wait_timeout=900
performance_schema=OFF
"""


def write_configuration(lab: SlurmLab) -> None:
    """Write every configuration file of a lab, and its munge key."""
    controller, dbd, *node_ports = lab.ports
    etc, facts = lab.folder / "etc", {"folder": lab.folder, "user": lab.user, "port": dbd}
    nodes = [
        _NODE.format(name=name, host=lab.host, port=port)
        for name, port in zip(lab.node_names, node_ports, strict=True)
    ]
    no_accounting = "AccountingStorageType=accounting_storage/none"
    lab.conf.write_text(
        _SLURM_CONF.format(
            host=lab.host,
            controller_port=controller,
            task_plugin="task/cgroup" if lab.limits_memory else "task/none",
            accounting=_ACCOUNTING.format(**facts) if lab.accounting else no_accounting,
            nodes="\n".join(nodes),
            **facts,
        )
    )
    (etc / "cgroup.conf").write_text(_CGROUP_CONF)
    (etc / "my.cnf").write_text(_MY_CNF.format(**facts))
    for name, content in (
        ("slurmdbd.conf", _SLURMDBD_CONF.format(**facts).encode()),
        ("munge.key", secrets.token_bytes(128)),
    ):
        (etc / name).touch(mode=0o600)  # both refuse to start when others can read it
        (etc / name).write_bytes(content)
    for name in lab.node_names:
        (lab.folder / "spool" / name).mkdir()


def mariadb_install_command(lab: SlurmLab) -> list[str]:
    """Return the command that makes an empty MariaDB."""
    (lab.folder / "mysql").mkdir()
    how = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    return ["mariadb-install-db", f"--defaults-file={lab.folder}/etc/my.cnf", f"--user={lab.user}", *how]


def daemon_command(lab: SlurmLab, name: str) -> list[str]:
    """Return the command that runs a daemon in the foreground; a node's name stands for its slurmd."""
    run, etc = lab.run_folder, lab.folder / "etc"
    munged = ["munged", "--foreground", "--force", "--num-threads=4", f"--key-file={etc}/munge.key"]
    munged += [f"--socket={run}/munge", f"--pid-file={run}/munged.pid", f"--seed-file={run}/munge.seed"]
    commands = {
        "munged": munged,
        "mariadbd": ["mariadbd", f"--defaults-file={etc}/my.cnf"],
        "slurmdbd": ["slurmdbd", "-D"],
        "slurmctld": ["slurmctld", "-D"],
    }
    return commands.get(name) or ["slurmd", "-D", "-N", name]


# The guard -------------------------------------------------------------------------------------------


def carriers(folder: Path) -> list[int]:
    """List the processes whose environment names this lab's slurm.conf: daemons, steps, jobs, clients."""
    mark = f"SLURM_CONF={folder}/etc/slurm.conf".encode()
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
    return found


def guard(folder: Path, node_names: list[str]) -> None:
    """Wait until our standard input ends, with whoever holds it; then end all carriers, remove the rest."""
    sys.stdin.read()
    give_up_at = time.monotonic() + 20
    while (pids := carriers(folder)) and time.monotonic() < give_up_at:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for node in node_names:
        for path in sorted(_CGROUPS.glob(f"slurm_{node}/**/"), reverse=True):  # deepest first
            with contextlib.suppress(OSError):
                path.rmdir()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    guard(Path(sys.argv[1]), sys.argv[2:])
