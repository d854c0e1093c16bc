import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AiotError, startProgram } from '../../../core/index.js';
import type { SimulatedChip } from '../chip.js';
import type { ServedChip } from './types.js';

const startTimeoutMs = 5000;
const pollMs = 10;

/**
 * A chip behind a pty that `socat` makes: any program opens it as a serial port. A pty has no DTR and RTS, and its speed
 * cannot be seen from here. It goes away when the cable is pulled and is made anew (at the same `link`) when
 * it is put in again.
 *
 * @throws AIOT_SERIAL_NOT_FOUND without socat
 */
export async function servePty(chip: SimulatedChip, link?: string): Promise<ServedChip> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-chip-'));
  const path = link ?? join(folder, 'port');
  const pty = new Pty(chip, path);
  try {
    await pty.start();
    const leave = chip.onPlugged(() => void pty.start().catch(() => undefined));
    return {
      get address() {
        return pty.address;
      },
      close: async () => {
        leave();
        await pty.stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await pty.stop();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class Pty {
  private child: ChildProcess | null = null;
  private failure: Error | null = null;
  private leave: (() => void)[] = [];
  address = '';

  constructor(
    private readonly chip: SimulatedChip,
    private readonly link: string,
  ) {}

  /** Makes the pty; while one is there, nothing. */
  async start(): Promise<void> {
    if (this.child) return;
    const child = startProgram('socat', [`PTY,raw,echo=0,link=${this.link}`, 'STDIO'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.child = child;
    child.on('error', (error) => {
      this.failure = error;
    });
    child.stdin?.on('error', () => undefined);
    child.stdout?.on('data', (bytes: Buffer) => this.chip.receive(bytes));
    this.leave = [
      this.chip.onOutput((bytes) => this.send(bytes)),
      this.chip.onUnplugged(() => void this.stop()),
    ];
    this.address = await this.made(child);
  }

  async stop(): Promise<void> {
    for (const leave of this.leave.splice(0)) leave();
    const { child } = this;
    this.child = null;
    if (!child || child.exitCode !== null || child.pid === undefined) return;
    const gone = once(child, 'exit');
    child.kill();
    await gone;
  }

  private send(bytes: Uint8Array): void {
    // socat holds what nobody reads; beyond its buffers it is lost, as on a line.
    const { stdin } = this.child ?? {};
    if (stdin && stdin.writableLength < 1 << 20) stdin.write(bytes);
  }

  private async made(child: ChildProcess): Promise<string> {
    const end = Date.now() + startTimeoutMs;
    while (Date.now() < end && !this.failure && child.exitCode === null) {
      const target = await readlink(this.link).catch(() => null);
      if (target) return target;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    throw new AiotError('AIOT_SERIAL_NOT_FOUND', 'no pty could be made: socat did not start', {
      next: 'Install socat (apt install socat), or use a socket: --port socket://127.0.0.1:PORT',
      ...(this.failure ? { cause: this.failure } : {}),
    });
  }
}
