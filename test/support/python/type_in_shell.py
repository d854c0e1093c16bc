"""Types lines into a shell on a separate terminal. argv: a JSON list of lines (\\t is Tab), and the shell's command. Prints its screen.

Each line is typed once the prompt `READY>` appears; the last one ends the shell. It is killed after 15 seconds without output, or
after a minute.
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
end = time.monotonic() + 60
screen, seen, typed = b"", 0, 0
while time.monotonic() < end and select.select([terminal], [], [], 15)[0]:
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
# A shell may wait forever for its child processes on the terminal, so its whole group is killed.
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
sys.stdout.write(screen.decode(errors="replace"))
