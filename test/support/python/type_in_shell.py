"""Types lines into a shell on a terminal of its own. argv: JSON list of lines (\\t is Tab), the shell's command. Prints its screen.

Each line is typed after the prompt `READY>` has come; the last one ends the shell. It is killed when it says nothing for 5 seconds or
lives for 20.
"""
import json
import os
import pty
import select
import signal
import sys
import time

lines, command = json.loads(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "dumb"
    os.execvp(command[0], command)
end = time.monotonic() + 20
screen, seen, typed = b"", 0, 0
while time.monotonic() < end and select.select([terminal], [], [], 5)[0]:
    try:
        written = os.read(terminal, 65536)
    except OSError:
        break
    if not written:
        break
    screen += written
    if typed < len(lines) and b"READY>" in screen[seen:]:
        seen = len(screen)
        os.write(terminal, (lines[typed] + "\n").encode())
        typed += 1
# With its terminal a shell may wait for what it started, for ever: it and its group go.
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
sys.stdout.write(screen.decode(errors="replace"))
