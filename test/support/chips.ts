import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, realpath, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SimulatedChip, type SimulatedChipOptions } from '../../src/lib/flash/index.js';
import type { ChipName } from '../../src/lib/formats/index.js';
import { endProgram } from './programs.js';

/** A chip in download mode at a serial line that has no DTR and RTS: a simulated one, or a mask ROM in an emulator. */
export interface Board {
  readonly chip: ChipName;
  /** Factory address, lower case with colons; null where nobody but the chip knows. */
  readonly mac: string | null;
  /** Path of its pty. */
  readonly port: string;
  /** The same line as a TCP port of this machine. */
  readonly socket: string;
  /** What is in its flash now, all of it. */
  flash(): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A simulated chip behind a TCP port and a pty. */
export async function simulatedBoard(
  options: SimulatedChipOptions,
  answerMs = 0,
): Promise<Board & { simulated: SimulatedChip }> {
  const simulated = new SimulatedChip(options);
  const line = await socketLine(simulated, answerMs);
  const pty = await ptyOf(line.port);
  return {
    chip: options.chip,
    mac: simulated.mac,
    port: pty.path,
    socket: `socket://127.0.0.1:${line.port}`,
    simulated,
    flash: async () => simulated.flash.bytes,
    async close() {
      await pty.close();
      await line.close();
    },
  };
}

/**
 * A chip as the emulator with the real mask ROMs shows it, as far as known: strapped for the UART alone, no DTR and RTS,
 * every answer some 44 ms late (its UART is polled), a flash without parameter table, no oscillator calibration in the
 * eFuses. What fails in it is not written through here: an ESP32's ROM and a C3's stub.
 */
export async function emulatorLikeBoard(chip: 'esp32' | 'esp32c3') {
  const words = { 1073061904: 0, 1073111164: 0x96042000 };
  return simulatedBoard({ chip, boot: 'uart', sfdp: false, ...(chip === 'esp32' && { words }) }, 44);
}

/** Serves the chip's line as a TCP port to one client at a time. */
async function socketLine(
  chip: SimulatedChip,
  answerMs: number,
): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    const leave = chip.onOutput((bytes) => {
      const copy = bytes.slice();
      if (answerMs === 0) socket.write(copy);
      else setTimeout(() => socket.writable && socket.write(copy), answerMs);
    });
    socket.on('data', (bytes: Buffer) => chip.receive(new Uint8Array(bytes)));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      leave();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A pty whose other end is a TCP port (socat). */
export async function ptyOf(port: number): Promise<{ path: string; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-pty-'));
  const link = join(folder, 'pty');
  const bridge: ChildProcess = spawn(
    'socat',
    [`pty,raw,echo=0,link=${link}`, `tcp:127.0.0.1:${port},nodelay`],
    { stdio: 'ignore' },
  );
  for (let tries = 0; tries < 400; tries++) {
    if (bridge.exitCode !== null) break;
    const there = await access(link).then(
      () => true,
      () => false,
    );
    if (there) {
      return {
        path: await realpath(link),
        async close() {
          await endProgram(bridge);
          await rm(folder, { recursive: true, force: true });
        },
      };
    }
    await delay(25);
  }
  throw new Error(`socat made no pty (ended with ${bridge.exitCode})`);
}
