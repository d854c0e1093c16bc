/**
 * Replaces the emulator with the real mask ROMs where it is not available. Accepts the emulator's command line, and
 * provides a simulated chip that behaves like the emulated one. The chip is strapped only by `strap_mode`, without DTR
 * and RTS. Every response is about 44 ms late, because the emulated UART is polled. The flash has no parameter table,
 * and the fuses are those that the ROMs read. Two failures of the emulator are not imitated: writing through an ESP32's
 * ROM, and through a C3's stub.
 */
import { openSync, readFileSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { SimulatedChip } from '../../src/lib/flash/rom/chip.js';

/** With AIOT_LONG=1, the delay of the real emulator. */
const answerMs = process.env.AIOT_LONG === '1' ? 44 : 10;

/** The values are the real ROMs' responses to READ_REG in the emulator (golden traces). */
const machines = {
  esp32: {
    mac: '10:01:00:c4:0a:24',
    words: { 1073061900: 0, 1073061904: 0, 1073061908: 0, 1073082476: 0x28000, 1073111164: 0x96042000 },
    straps: { '0x0f': 'uart', '0x12': 'run' },
  },
  esp32c3: {
    mac: 'c4:0a:24:fe:10:01',
    words: { 1610647632: 0xc0000, 1610647636: 0, 1610647640: 0 },
    straps: { '0x02': 'uart', '0x08': 'run' },
  },
} as const;

/** The emulator's options have single dashes. */
const { values } = parseArgs({
  args: process.argv.slice(2).map((text) => text.replace(/^-(?=[a-zL])/, '--')),
  options: {
    nographic: { type: 'boolean' },
    machine: { type: 'string', default: '' },
    monitor: { type: 'string' },
    L: { type: 'string' },
    drive: { type: 'string', default: '' },
    global: { type: 'string', default: '' },
    serial: { type: 'string', default: '' },
  },
});
const chip = values.machine as keyof typeof machines;
const { mac, words, straps } = machines[chip];
const file = /^file=(.*),if=mtd,format=raw$/.exec(values.drive)?.[1];
const strap = /^driver=esp32(?:c3)?\.gpio,property=strap_mode,value=(0x[0-9a-f]+)$/.exec(values.global)?.[1];
const port = /^tcp:127\.0\.0\.1:(\d+),server(,nowait)?$/.exec(values.serial);
const boot = (straps as Record<string, 'uart' | 'run'>)[strap ?? ''];
if (!file || !boot || !port) throw new Error(`not understood: ${process.argv.slice(2).join(' ')}`);

const stored = readFileSync(file);
const descriptor = openSync(file, 'r+');
const start = () =>
  new SimulatedChip({ chip, mac, words, boot, sfdp: false, flash: Uint8Array.from(stored) });
// With ",nowait", the chip runs from the start, otherwise from the first connection on.
let board = port[2] ? start() : undefined;
let client: Socket | undefined;

createServer({ noDelay: true }, (socket) => {
  // There is one client at a time; others wait until the current one has disconnected.
  if (client && !client.destroyed) {
    client.once('close', () => serve(socket));
    return;
  }
  serve(socket);
}).listen(Number(port[1]), '127.0.0.1');

function serve(socket: Socket): void {
  client = socket;
  const waited = !board;
  board ??= start();
  const { flash } = board;
  const say = (bytes: Uint8Array) => {
    store(flash.bytes);
    const copy = bytes.slice();
    setTimeout(() => socket.writable && socket.write(copy), answerMs);
  };
  const leave = board.onOutput(say);
  if (waited) board.reset();
  socket.on('data', (bytes) => board?.receive(new Uint8Array(bytes)));
  socket.on('error', () => undefined);
  socket.on('close', leave);
}

/** Keeps the file identical to the flash by writing the sectors that have changed since the last response. */
function store(flash: Uint8Array): void {
  if (stored.equals(flash)) return;
  for (let at = 0; at < flash.length; at += 0x1000) {
    const sector = flash.subarray(at, at + 0x1000);
    if (stored.subarray(at, at + 0x1000).equals(sector)) continue;
    stored.set(sector, at);
    writeSync(descriptor, sector, 0, sector.length, at);
  }
}
