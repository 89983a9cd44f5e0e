# Starts the commands of argv[1] (JSON, a list of lists of words) at once, waits for all, and writes to descriptor 3 as JSON what they took: seconds of the
# clock from the first start to the last end, seconds of processors of all their processes, bytes of the largest of these, and each one's exit status.
# Node has no getrusage(2) of children; what Python takes to start is outside of what is measured.
import json
import os
import sys
import time

os.set_inheritable(3, False)
commands = json.loads(sys.argv[1])
start = time.monotonic()
children = [os.posix_spawnp(command[0], command, os.environ) for command in commands]
statuses, processors, memory = [], 0.0, 0
for child in children:
    _, status, used = os.wait4(child, 0)
    statuses.append(os.waitstatus_to_exitcode(status))
    processors += used.ru_utime + used.ru_stime
    memory = max(memory, used.ru_maxrss * 1024)
seconds = time.monotonic() - start
os.write(3, json.dumps({"seconds": seconds, "processors": processors, "memory": memory, "statuses": statuses}).encode())
