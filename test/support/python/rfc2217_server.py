"""An RFC 2217 server with pyserial's own PortManager on an echoing port; it serves one client. Prints its TCP port, and then the client's
settings."""
import json
import socket
import threading

import serial
import serial.rfc2217


class Connection:
    def __init__(self, peer):
        self.peer = peer
        self.lock = threading.Lock()

    def write(self, data):
        with self.lock:
            self.peer.sendall(data)


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(1)
print(listener.getsockname()[1], flush=True)
peer, _ = listener.accept()
port = serial.serial_for_url("loop://", timeout=0.05)
manager = serial.rfc2217.PortManager(port, Connection(peer))
running = True


def board_to_client():
    while running:
        data = port.read(1024 if port.in_waiting > 1024 else port.in_waiting or 1)
        if data:
            Connection.write(manager.connection, b"".join(manager.escape(data)))


reader = threading.Thread(target=board_to_client)
reader.start()
while True:
    data = peer.recv(1024)
    if not data:
        break
    port.write(b"".join(manager.filter(data)))
running = False
reader.join()
print(json.dumps({"baud": port.baudrate, "dtr": port._dtr_state, "rts": port._rts_state}), flush=True)
