"""Runs a command on a separate terminal, and types into it.

argv: a JSON list of [text to wait for on the screen, text to type then], the command. Each text is searched for after the previous one.

Prints JSON: `code` (null if a signal ended it), `signal` (null if it exited) and `screen`, the whole output.
"""
import fcntl
import json
import os
import pty
import struct
import sys
import termios


def main(dialogue, command):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    # A new pty is 0 × 0, which leaves programs no room for output.
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    screen, looked = b"", 0
    while True:
        try:
            written = os.read(terminal, 65536)
        except OSError:  # Linux: EIO once the other end is closed.
            break
        if not written:
            break
        screen += written
        while dialogue and (found := screen.find(dialogue[0][0].encode(), looked)) >= 0:
            awaited, typed = dialogue.pop(0)
            looked = found + len(awaited.encode())
            os.write(terminal, typed.encode())
    _, status = os.waitpid(pid, 0)
    ended = os.WIFSIGNALED(status)
    code, signal = (None, os.WTERMSIG(status)) if ended else (os.WEXITSTATUS(status), None)
    print(json.dumps({"code": code, "signal": signal, "screen": screen.decode(errors="replace")}))


main(json.loads(sys.argv[1]), sys.argv[2:])
