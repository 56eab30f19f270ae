"""What the hosts of a lab are configured with, and the guard that ends them all.

Run as a program, this file is the guard: it imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SSH_PORT = 2222
NETWORK = "10.77.0"

_SSHD_CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {keys}/host
AuthorizedKeysFile {keys}/authorized_keys
PidFile none
UsePAM no
UseDNS no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp
"""

_SSH_CONFIG = """\
Host nas
HostName {address}
Port {port}
User root
IdentityFile {keys}/user
IdentitiesOnly yes
IdentityAgent none
BatchMode yes
StrictHostKeyChecking yes
UserKnownHostsFile {keys}/known_hosts
GlobalKnownHostsFile /dev/null
"""

# A host keeps what is its own under a path that is the same on every host, as in a real lab. It lives as
# long as its standard input, so that it ends with whoever made it. (hostname(1) refuses the _ of wild_west.)
HOLDER = """\
set -e
echo "$1" > /proc/sys/kernel/hostname
ip link set lo up
mount --bind "$2/$1" "$2/here"
echo "127.0.0.1 localhost $1" > "$2/$1/hosts"
mount --bind "$2/$1/hosts" /etc/hosts
echo ready
exec cat > /dev/null
"""

SERVE = 'mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec "$0" -D -e -f "$1"'
"""sshd wants /run/sshd: the server has a /run of its own"""


def write_ssh_configuration(folder: Path, address: str) -> None:
    """Make keys for the server and its one user, and the configurations of sshd and ssh."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(keys / name)]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
    host_key = (keys / "host.pub").read_text()
    (keys / "known_hosts").write_text(f"[{address}]:{SSH_PORT} {host_key}")
    shutil.copy(keys / "user.pub", keys / "authorized_keys")
    facts = {"port": SSH_PORT, "address": address, "keys": keys}
    (folder / "sshd_config").write_text(_SSHD_CONFIG.format(**facts))
    (folder / "ssh_config").write_text(_SSH_CONFIG.format(**facts))


def namespace_of(pid: int | str) -> int | None:
    """Return the network namespace of a process as a number; None if the process has ended."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return None


def members(namespaces: set[int]) -> list[int]:
    """List the processes in these network namespaces: those are a lab's own, whoever started them."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if namespace_of(pid) in namespaces]


# The guard -------------------------------------------------------------------------------------------


def end_members(namespaces: set[int]) -> None:
    """End every process in these namespaces. Whoever hangs in a drive is let go when its sshfs has ended;
    what is mounted goes with the last process of a host."""
    give_up_at = time.monotonic() + 20
    while (pids := members(namespaces)) and time.monotonic() < give_up_at:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def guard(folder: Path, holders: list[str]) -> None:
    """Wait until our standard input ends, with whoever holds it; then end the lab and remove its folder."""
    # held open, so that the kernel gives none of these numbers to somebody else
    handles = [os.open(f"/proc/{pid}/ns/net", os.O_RDONLY) for pid in holders]
    print("ready", flush=True)
    sys.stdin.read()
    end_members({os.fstat(handle).st_ino for handle in handles})
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    guard(Path(sys.argv[1]), sys.argv[2:])
