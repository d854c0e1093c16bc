"""Runs pyserial's RFC 2217 client on the given port. Echoes every byte, and sets baud rates, DTR and RTS. Prints the results."""
import json
import sys
import time

import serial

port = serial.serial_for_url(sys.argv[1], 115200, timeout=5)
data = bytes(range(256)) * 64
port.write(data)
echoed = port.read(len(data)) == data
port.baudrate = 921600
port.reset_input_buffer()
port.dtr = False
port.rts = True
time.sleep(0.1)
port.dtr = True
port.rts = False
time.sleep(0.05)
port.dtr = False
try:
    port.baudrate = 3000000
    refused = False
except ValueError:
    refused = True
print(json.dumps({"echoed": echoed, "cts": port.cts, "refused": refused}))
port.close()
