"""A network of its own between host and guest: a tap in a name space.

User networking would be what is measured. Needs root and /dev/net/tun.
"""
import functools
import os
import shutil
import subprocess
import time

HOST, GUEST = "10.77.0.1", "10.77.0.2"


@functools.lru_cache(maxsize=None)
def available():
    if os.geteuid() != 0 or not os.access("/dev/net/tun", os.R_OK | os.W_OK) or \
            shutil.which("ip") is None or not os.access("/bin/busybox", os.X_OK):
        return False
    # Root in a container or a chroot may be refused any of these.
    name = "hftrial%d" % os.getpid()
    done = [subprocess.run(["ip", "netns", *words], capture_output=True, check=False).returncode
            for words in (("add", name), ("exec", name, "true"), ("delete", name))]
    return not any(done)


class Wire:
    """With-block in which `prefix` runs a command inside, and a lease is given.

    With several queues the card has as many, and the host sends what belongs
    to a flow to the queue that the guest sends it through.
    """

    def __init__(self, work, queues=1):
        self.name = "hfbench%d" % os.getpid()
        self.prefix = ["ip", "netns", "exec", self.name]
        self.netdev = "tap,ifname=hf0,script=no,downscript=no"
        self.kind = "tap"
        if queues > 1:
            self.netdev += ",queues=%d" % queues
            self.kind += " multi_queue"
        self.work = work
        self.dhcp = None

    def run(self, *command):
        return subprocess.run([*self.prefix, *command], capture_output=True, text=True,
                              check=True)

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        for command in ("ip link set lo up", "ip tuntap add hf0 mode " + self.kind,
                        "ip address add %s/24 dev hf0" % HOST, "ip link set hf0 up"):
            self.run(*command.split())
        conf = os.path.join(self.work, "udhcpd.conf")
        leases = os.path.join(self.work, "leases")
        with open(leases, "wb"):
            pass
        with open(conf, "w", encoding="ascii") as file:
            file.write("start %s\nend %s\ninterface hf0\nlease_file %s\npidfile %s.pid\n"
                       "option subnet 255.255.255.0\noption router %s\noption dns %s\n"
                       % (GUEST, GUEST, leases, conf, HOST, HOST))
        self.dhcp = subprocess.Popen([*self.prefix, "/bin/busybox", "udhcpd", "-f", conf],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def wait_for(self, limit=60):
        """Until the guest answers a ping."""
        end = time.monotonic() + limit
        while True:
            done = subprocess.run([*self.prefix, "/bin/busybox", "ping", "-c", "1", "-W", "1",
                                   GUEST], capture_output=True, check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > end:
                raise TimeoutError("the guest does not answer a ping")

    def __exit__(self, *error):
        if self.dhcp is not None:
            self.dhcp.kill()
            self.dhcp.wait()
        subprocess.run(["ip", "netns", "delete", self.name], check=False)
