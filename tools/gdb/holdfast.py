"""gdb commands for the kernel: source tools/gdb/holdfast.py (make debug does it).

  hf-cores           cores: what runs, the run queue, held locks, the mailbox
  hf-threads [-b]    every thread: state, core, what it waits in; -b with backtraces
  hf-thread TID      one thread's kernel backtrace and user registers
  hf-klog            the kernel log, in order
"""
import gdb

STATES = {0: "new", 1: "ready", 2: "sleeping", 3: "dead"}


def machine():
    info = gdb.parse_and_eval("&boot_info")
    address = int(info["machine"])
    return gdb.Value(address).cast(gdb.lookup_type("struct machine").pointer()).dereference()


def cores(m):
    return [m["core"][i].dereference() for i in range(int(m["ncores"]))]


def list_entries(head, type_name, member):
    kind = gdb.lookup_type(type_name)
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == member)
    at = head["next"]
    while int(at) != int(head.address):
        yield gdb.Value(int(at) - offset).cast(kind.pointer()).dereference()
        at = at["next"]


def symbol(address):
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    return text.split(" in section")[0].strip()


def backtrace(rip, rbp, depth=16):
    lines = [symbol(rip)] if rip else []
    for _ in range(depth):
        if rbp < 0xFFFF800000000000:
            break
        try:
            back = int(gdb.parse_and_eval(f"((unsigned long *){rbp:#x})[1]")) & (2**64 - 1)
            rbp = int(gdb.parse_and_eval(f"((unsigned long *){rbp:#x})[0]")) & (2**64 - 1)
        except gdb.MemoryError:
            break
        if back < 0xFFFF800000000000:
            break
        lines.append(symbol(back))
    return lines


def saved_backtrace(t):
    """Of a thread that is switched out: context_switch pushed rbp rbx r12..r15."""
    rsp = int(t["rsp"]) & (2**64 - 1)
    try:
        words = [int(gdb.parse_and_eval(f"((unsigned long *){rsp:#x})[{i}]")) & (2**64 - 1)
                 for i in range(7)]
    except gdb.MemoryError:
        return ["stack not readable"]
    return backtrace(words[6], words[5])


class Cores(gdb.Command):
    def __init__(self):
        super().__init__("hf-cores", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        m = machine()
        masks = [int(m["idle"][i]["mask"]) for i in range(int(m["nclusters"]))]
        print("idle mask", " ".join(f"{mask:#x}" for mask in masks))
        for c in cores(m):
            a = c["arch"]
            name = a["current"]["name"].string() if int(a["current"]) else "-"
            print(f"core {int(a['index']):2} cluster {int(a['cxy'])} runs '{name}' tid "
                  f"{int(a['current']['tid'])} runnable {int(c['rq']['nr_running'])} "
                  f"locks {int(a['irq_off_depth'])} mailbox {int(a['mailbox']):#x} "
                  f"timer {int(c['timers']['armed'])}")


class Threads(gdb.Command):
    def __init__(self):
        super().__init__("hf-threads", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        m = machine()
        running = {int(c["arch"]["current"]) for c in cores(m)}
        for t in list_entries(m["threads"]["all"], "struct thread", "all"):
            state = "RUNNING" if int(t.address) in running else STATES.get(int(t["state"]), "?")
            trace = [] if state == "RUNNING" else saved_backtrace(t)
            where = next((x for x in trace if not x.startswith(
                ("context_switch", "switch_to", "sched_", "block", "waitq_"))), "")
            core = int(t["core"]["arch"]["index"]) if int(t["core"]) else -1
            print(f"tid {int(t['tid']):5} {t['name'].string():16} {state:8} core {core:2} "
                  f"flags {int(t['flags']):#x} {where}")
            if arg.strip() == "-b":
                for line in trace:
                    print(f"        {line}")


class Thread(gdb.Command):
    def __init__(self):
        super().__init__("hf-thread", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        for t in list_entries(machine()["threads"]["all"], "struct thread", "all"):
            if int(t["tid"]) == int(arg):
                for line in saved_backtrace(t):
                    print(line)
                if int(t["frame"]):
                    print(t["frame"].dereference())


class Klog(gdb.Command):
    def __init__(self):
        super().__init__("hf-klog", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        records = []
        for c in cores(machine()):
            data = c["klog"]["data"]
            raw = bytes(gdb.selected_inferior().read_memory(int(data.address), data.type.sizeof))
            at = 0
            while at + 24 <= len(raw):
                seq = int.from_bytes(raw[at:at + 8], "little")
                if seq == 0:
                    break
                ns = int.from_bytes(raw[at + 8:at + 16], "little")
                n = int.from_bytes(raw[at + 16:at + 18], "little")
                records.append((seq, ns, raw[at + 19:at + 19 + n]))
                at = (at + 19 + n + 7) & ~7
        for _, ns, text in sorted(records):
            print(f"[{ns / 1e9:12.6f}] {text.decode(errors='replace').rstrip()}")


Cores()
Threads()
Thread()
Klog()
