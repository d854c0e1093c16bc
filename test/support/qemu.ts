import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Board, ptyOf } from './chips.js';
import { freePort } from './free-port.js';
import { endProgram } from './programs.js';
import { qemuFolder } from './real.js';

/** Chips whose mask ROM the emulator runs, with the straps for UART download and for booting from flash. */
const machines = {
  esp32: { program: 'qemu-system-xtensa', gpio: 'esp32.gpio', download: 0x0f, run: 0x12 },
  esp32c3: { program: 'qemu-system-riscv32', gpio: 'esp32c3.gpio', download: 0x02, run: 0x08 },
} as const;
export type EmulatedChip = keyof typeof machines;

/** Flash size of the emulated boards, bytes. */
const flashBytes = 4 << 20;

export interface EmulatedBoard extends Board {
  /** Restarts the chip with its current flash, either in download mode or running the program in flash. */
  restart(mode: 'download' | 'run'): Promise<void>;
  /**
   * Resolves with the chip's output once it matches `pattern`. @throws an error with the output so far, after
   * `timeoutMs`
   */
  until(pattern: RegExp, timeoutMs: number): Promise<string>;
}

export interface EmulatedOptions {
  /** The emulator's folder; AIOT_ESP_QEMU by default. */
  folder?: string;
  /** A pty (socat), or the emulator's TCP port itself, which accepts one client. */
  line?: 'pty' | 'socket';
}

/**
 * Starts a chip with its real mask ROM. The emulator has no DTR and RTS, so it is started in the requested mode. This
 * needs only the emulator's folder.
 */
export async function emulatedBoard(
  chip: EmulatedChip,
  { folder = qemuFolder, line = 'pty' }: EmulatedOptions = {},
): Promise<EmulatedBoard> {
  const own = await mkdtemp(join(tmpdir(), 'aiot-qemu-'));
  const flashFile = join(own, 'flash.bin');
  await writeFile(flashFile, new Uint8Array(flashBytes).fill(0xff));
  const port = await freePort();
  let emulator: ChildProcess | undefined;
  let pty: Awaited<ReturnType<typeof ptyOf>> | undefined;

  const end = async () => {
    await pty?.close();
    if (emulator) await endProgram(emulator);
    pty = emulator = undefined;
  };
  const start = async (mode: 'download' | 'run') => {
    emulator = await startEmulator(chip, mode, { folder, flashFile, port });
    if (mode === 'download' && line === 'pty') pty = await ptyOf(port);
  };
  const restart = async (mode: 'download' | 'run') => {
    await end();
    await start(mode);
  };
  await start('download');
  return {
    chip,
    mac: null,
    get port() {
      return pty?.path ?? `socket://127.0.0.1:${port}`;
    },
    async flash() {
      // The emulator writes its file slightly after the chip has responded.
      await delay(300);
      return new Uint8Array(await readFile(flashFile));
    },
    restart,
    toLoader: () => restart('download'),
    until: (pattern, timeoutMs) => readUntil(port, pattern, timeoutMs),
    async close() {
      await end();
      await rm(own, { recursive: true, force: true });
    },
  };
}

/** Resolves when the emulator listens, because earlier output would be lost. */
async function startEmulator(
  chip: EmulatedChip,
  mode: 'download' | 'run',
  { folder, flashFile, port }: { folder: string; flashFile: string; port: number },
): Promise<ChildProcess> {
  const machine = machines[chip];
  const child = spawn(
    join(folder, machine.program),
    [
      ...['-nographic', '-machine', chip, '-L', join(folder, 'pc-bios')],
      ...['-drive', `file=${flashFile},if=mtd,format=raw`],
      ...['-global', `driver=${machine.gpio},property=strap_mode,value=${strap(machine[mode])}`],
      // Without nowait, it starts with the first connection, so that no output is lost.
      ...['-serial', `tcp:127.0.0.1:${port},server${mode === 'download' ? ',nowait' : ''}`],
      ...['-monitor', 'none'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  child.on('error', (error) => {
    said += error.message;
  });
  try {
    await listening(port, child);
  } catch (error) {
    await endProgram(child);
    throw new Error(`the emulator did not start: ${said}`, { cause: error });
  }
  return child;
}

function strap(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}

async function readUntil(port: number, pattern: RegExp, timeoutMs: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  try {
    const deadline = delay(timeoutMs).then(() => 'late' as const);
    const found = new Promise<'found'>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        if (pattern.test(text)) resolve('found');
      });
    });
    if ((await Promise.race([found, deadline])) === 'found') return text;
    throw new Error(`no ${pattern} within ${timeoutMs} ms in: ${text.slice(-2000)}`);
  } finally {
    socket.destroy();
  }
}

/**
 * Checks the list of listening sockets, because the emulator would take a connection for the peer of its serial line.
 */
async function listening(port: number, emulator: ChildProcess): Promise<void> {
  const entry = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  for (let tries = 0; tries < 400; tries++) {
    if (emulator.exitCode !== null || emulator.pid === undefined)
      throw new Error(`ended with ${emulator.exitCode}`);
    if ((await readFile('/proc/net/tcp', 'utf8')).includes(entry)) return;
    await delay(25);
  }
  throw new Error(`does not listen on ${port}`);
}
