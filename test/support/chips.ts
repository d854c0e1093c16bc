import { type ChildProcess, spawn } from 'node:child_process';
import { access, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SimulatedChip, type SimulatedChipOptions } from '../../src/lib/flash/rom/chip.js';
import { serveChip } from '../../src/lib/flash/rom/serve.js';
import type { ChipName } from '../../src/lib/formats/esp-image/chips.js';
import { endProgram } from './programs.js';

/**
 * A chip in download mode on a serial line without DTR and RTS, either a simulated one or a mask ROM in an
 * emulator.
 */
export interface Board {
  readonly chip: ChipName;
  /** Factory address, in lowercase with colons; null if only the chip knows it. */
  readonly mac: string | null;
  /** Path of its pty, or `socket://127.0.0.1:PORT`. */
  readonly port: string;
  /** Returns the complete current content of its flash. */
  flash(): Promise<Uint8Array>;
  /** Brings a chip that has left its loader back into the loader, if nothing else can. */
  toLoader?(): Promise<void>;
  close(): Promise<void>;
}

/** Starts a simulated chip behind a pty or a TCP port. */
export async function simulatedBoard(
  options: SimulatedChipOptions,
  line: 'pty' | 'socket' = 'pty',
): Promise<Board & { simulated: SimulatedChip }> {
  const simulated = new SimulatedChip(options);
  const { address, close } = await serveChip(simulated, line === 'pty' ? { pty: true } : { port: 0 });
  return {
    chip: options.chip,
    mac: simulated.mac,
    port: address,
    simulated,
    flash: async () => simulated.flash.bytes,
    toLoader: async () => simulated.reset(),
    close,
  };
}

/** Creates a pty whose other end is a TCP port, with socat. */
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
