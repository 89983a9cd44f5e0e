# Runs a command on a terminal and prints what the terminal got; the exit status is the command's.
#   python3 terminal.py COMMAND [ARG...]
# TERMINAL is JSON: {"size": [ROWS, COLUMNS], "on": [{"text": SEEN, "do": ACTION, ...}]}. Each action is taken once, in turn, when its text has come since the one
# before it: "interrupt" presses Ctrl-C, "resize" with a "size", "hang-up" closes the terminal, "stop" reads no more and sends SIGTERM after a second.
import fcntl, json, os, pty, signal, struct, sys, termios, time

plan = json.loads(os.environ.get('TERMINAL') or '{}')
actions = list(plan.get('on', []))


def resize(terminal, size):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', *size, 0, 0))


pid, terminal = pty.fork()
if pid == 0:
    resize(0, plan.get('size', [20, 60]))
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b''
since = 0
while terminal is not None:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    seen += data
    while actions and actions[0]['text'].encode() in seen[since:]:
        action = actions.pop(0)
        since = len(seen)
        if action['do'] == 'interrupt':
            os.write(terminal, b'\x03')
        elif action['do'] == 'resize':
            resize(terminal, action['size'])
        elif action['do'] == 'hang-up':
            os.close(terminal)
            terminal = None
            break
        elif action['do'] == 'stop':
            time.sleep(1)
            os.kill(pid, signal.SIGTERM)
            terminal = None
            break
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
