"""The Python programs that checks run inside a sandbox."""

from __future__ import annotations

__all__ = [
    "ALTER_THE_RUNNER",
    "ATTACH_EVERYWHERE",
    "BOMB_IN_THE_BACKGROUND",
    "BURN",
    "CALL_WITH_PRIVILEGE",
    "COUNT_ARGUMENT",
    "DAEMON",
    "DEEP_TREE",
    "FILL_DISK",
    "FORK_BOMB",
    "HOSTILE_ARCHIVE",
    "LEASE",
    "MANY_PROCESSES",
    "MARK_FOLDERS",
    "NETWORK",
    "SHARE_MUCH",
    "STOP_STARTING_PROCESSES",
    "SWAP_FOLDER_AND_LINK",
    "WATCH_SIZE",
    "WITHOUT_OUTPUT",
    "ZOMBIE_LEADER",
]

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", sys.argv[1]])
    os._exit(0)
time.sleep(60)
"""

COUNT_ARGUMENT = """
import os, sys
count = 0
for name in filter(str.isdigit, os.listdir("/proc")):
    if int(name) != os.getpid():
        try:
            count += sys.argv[1].encode() in open(f"/proc/{name}/cmdline", "rb").read().split(b"\\0")
        except OSError:
            pass
print(count)
"""
"""Counts the living processes that have a word among their arguments."""

FORK_BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""

BOMB_IN_THE_BACKGROUND = """
import os
if os.fork() == 0:
    os.setsid()
    while True:
        try:
            os.fork()
        except OSError:
            pass
"""

MANY_PROCESSES = """
import os
count = 0
try:
    while count < 500:
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "5"])
        count += 1
except OSError:
    pass
print(count)
"""

FILL_DISK = """
with open("fill", "wb") as file:
    file.write(b"x" * 50_000_000)
"""

SWAP_FOLDER_AND_LINK = """
import ctypes, os, time
os.mkdir("target"), os.mkdir("swapped"), os.symlink("target", "link")
exchange, end = ctypes.CDLL(None).renameat2, time.time() + 4
while time.time() < end:
    assert exchange(-100, b"swapped", -100, b"link", 2) == 0
"""

NETWORK = """
import os, socket
print(sorted(os.listdir("/sys/class/net")))
try:
    socket.create_connection(("1.1.1.1", 53), 3)
    print("a way out")
except OSError:
    pass
for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW)):
    try:
        socket.socket(family, kind, 1)
        print("a raw socket")
    except OSError:
        pass
"""

CALL_WITH_PRIVILEGE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
answers = {
    "mount": libc.mount(b"none", b"/tmp", b"tmpfs", 0, b""),
    "unshare users": libc.unshare(0x10000000),
    "unshare network": libc.unshare(0x40000000),
    "chroot": libc.chroot(b"/tmp"),
    "setuid": libc.setuid(0),
    "trace the runner": libc.ptrace(16, 1, 0, 0),
    "bpf": libc.syscall(321, 0, 0, 0),
    "init_module": libc.syscall(175, 0, 0, 0),
    "keyctl": libc.syscall(250, 0, 0, 0, 0),
    "swapon": libc.swapon(b"/tmp/x", 0),
    "sethostname": libc.sethostname(b"x", 1),
    "mknod": libc.mknod(b"/tmp/disk", 0o60666, 0x800),
    "set the clock": libc.clock_settime(0, ctypes.create_string_buffer(16)),
}
print([name for name, answer in answers.items() if answer >= 0])
"""
"""The numbers are x86-64's; elsewhere they are calls that fail as well, or are not there."""

ATTACH_EVERYWHERE = """
import ctypes
libc = ctypes.CDLL(None)
print(libc.shmget(4711, 4096, 0o1666), libc.msgget(4712, 0o1666), libc.semget(4713, 1, 0o1666))
"""

ALTER_THE_RUNNER = """
import ctypes, os, resource
libc = ctypes.CDLL(None, use_errno=True)
done = []
def attempt(name, call):
    try:
        if call() != -1:
            done.append(name)
    except OSError:
        pass
for task in os.listdir("/proc/1/task"):
    task = int(task)
    for name in ("RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_AS", "RLIMIT_RTTIME"):
        attempt(name, lambda: resource.prlimit(task, getattr(resource, name), (0, 0)))
    attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, task, 19))
    attempt("affinity", lambda: os.sched_setaffinity(task, {0}))
    attempt("idle", lambda: os.sched_setscheduler(task, os.SCHED_IDLE, os.sched_param(0)))
    attempt("ioprio", lambda: libc.syscall(251, 1, task, 3 << 13))
print(done)
"""

STOP_STARTING_PROCESSES = """
import ctypes, os, time
if os.fork() == 0:
    os.setsid()
    for descriptor in range(3):
        os.close(descriptor)
    kill = ctypes.CDLL(None).kill
    end = time.time() + 5
    while time.time() < end:
        last = int(open("/proc/loadavg").read().split()[-1])
        for _ in range(300):
            for process in range(last + 1, last + 4):
                kill(process, 19)
"""
"""Stops whatever gets the next process ids, before it has become its program."""

LEASE = """
import fcntl, os, signal, time
if os.fork() == 0:
    os.setsid()
    for descriptor in range(3):
        os.close(descriptor)
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    file = os.open("program", os.O_RDWR)
    fcntl.fcntl(file, 1024, fcntl.F_WRLCK)
    time.sleep(60)
time.sleep(0.3)
"""

ZOMBIE_LEADER = """
import ctypes, itertools, os, threading, time
def beat():
    for number in itertools.count():
        with open("beat.new", "w") as file:
            file.write(str(number))
        os.rename("beat.new", "beat")
        time.sleep(0.1)
if os.fork() == 0:
    os.setsid()
    threading.Thread(target=beat).start()
    time.sleep(0.2)
    ctypes.CDLL(None).syscall(60, 0)
time.sleep(60)
"""
"""The call is x-86's `exit`, which ends one thread."""

MARK_FOLDERS = """
import os, struct
entries = b"".join(struct.pack("<HHI", tag, 0, 0xFFFFFFFF) for tag in (1, 4, 0x20))
for folder in ("/workspace", "/tmp", "/var/tmp", "/dev/shm"):
    for name, value in (("user.left", b"behind"), ("system.posix_acl_default", struct.pack("<I", 2) + entries)):
        try:
            os.setxattr(folder, name, value)
            print("marked", folder, name)
        except OSError as error:
            print(folder, name, error)
"""

DEEP_TREE = """
import os
for _ in range(3000):
    os.mkdir("deeper")
    os.chdir("deeper")
"""

WITHOUT_OUTPUT = """
import os, time
os.close(1), os.close(2)
time.sleep(1.0)
fields = open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()
open("ticks", "w").write(str(int(fields[11]) + int(fields[12])))
"""
"""Notes the runner's processor time, after a second in which it had an output that is closed."""

WATCH_SIZE = """
import os, time
end, seen = time.time() + 3, set()
while time.time() < end:
    try:
        seen.add(os.stat("file").st_size)
    except FileNotFoundError:
        seen.add(-1)
print(sorted(seen))
"""

BURN = """
import time
end = time.monotonic() + 2
while time.monotonic() < end:
    pass
print(time.process_time())
"""

SHARE_MUCH = """
import ctypes, resource
libc = ctypes.CDLL(None)
print(libc.shmget(4714, ctypes.c_size_t(100 << 20), 0o1666), resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 4096)
"""

HOSTILE_ARCHIVE = """
import io, tarfile
archive = tarfile.open("hostile.tar", "w")
for name, target in (
    ("../../../../etc/planted", ""), ("/usr/planted", ""), ("/etc/planted", ""), ("link", "/etc"), ("link/planted", ""),
    ("far", "../../../usr"), ("far/planted", ""),
):
    member = tarfile.TarInfo(name)
    if target:
        member.type, member.linkname = tarfile.SYMTYPE, target
        archive.addfile(member)
    else:
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
archive.close()
"""
