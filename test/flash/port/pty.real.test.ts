import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { SerialLine } from '../../../src/lib/flash/port/line.js';
import { openLine } from '../../../src/lib/flash/port/open-line.js';
import { describeReal } from '../../support/real.js';

const started: ChildProcess[] = [];
const lines: SerialLine[] = [];
afterEach(async () => {
  for (const line of lines.splice(0)) await line.close();
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

/** Two ptys connected by socat. */
async function ptyPair(): Promise<{ near: string; far: string; socat: ChildProcess }> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-pty-'));
  const [near, far] = [join(folder, 'near'), join(folder, 'far')];
  const socat = spawn('socat', [`pty,raw,echo=0,link=${near}`, `pty,raw,echo=0,link=${far}`]);
  started.push(socat);
  for (let i = 0; i < 1000 && !(existsSync(near) && existsSync(far)); i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { near, far, socat };
}

async function open(path: string, baud = 115_200): Promise<SerialLine> {
  const line = await openLine(path, { baud });
  lines.push(line);
  return line;
}

describeReal('socat', 'a line over a pty', () => {
  it('has no DTR and RTS: setting them does nothing, and bytes and baud rates work', async () => {
    const { near, far } = await ptyPair();
    const [one, other] = [await open(near), await open(far)];
    expect(one).toMatchObject({ kind: 'pty', hasControlLines: false, usb: null, baud: 115_200 });
    await one.setControlLines({ dtr: true, rts: false });
    await one.setBaud(921_600);
    expect(one.baud).toBe(921_600);
    const got: number[] = [];
    const all = new Promise<void>((resolve) => {
      other.listen({ data: (bytes) => got.push(...bytes) >= 256 && resolve(), closed: () => {} });
    });
    await one.write(Uint8Array.from({ length: 256 }, (_, i) => i));
    await all;
    expect(got).toEqual(Array.from({ length: 256 }, (_, i) => i));
  });

  it('is lost when the other end goes away', async () => {
    const { near, socat } = await ptyPair();
    const line = await open(near);
    const ended = new Promise<Error | null>((resolve) => line.listen({ data: () => {}, closed: resolve }));
    socat.kill('SIGKILL');
    await once(socat, 'exit');
    expect(await ended).toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    await expect(line.write(Uint8Array.of(1))).rejects.toMatchObject({ code: 'AIOT_SERIAL_LOST' });
  });

  it('is locked: opening it again reports the program that uses it, and succeeds after its release', async () => {
    const { near } = await ptyPair();
    // The command is started when the lock is held.
    const other = spawn('flock', ['--exclusive', near, 'sh', '-c', 'echo held; exec sleep 60'], {
      detached: true,
    });
    started.push(other);
    await once(other.stdout, 'data');
    const busy = await openLine(near, { baud: 115_200 }).then(
      () => null,
      (error) => error,
    );
    expect(busy).toMatchObject({ code: 'AIOT_SERIAL_BUSY' });
    expect(busy.message).toMatch(new RegExp(`^${near} is in use by flock, pid \\d+$`));
    process.kill(-(other.pid ?? 0), 'SIGKILL');
    await once(other, 'exit');
    // The process that flock started ends slightly later, and only then releases the lock.
    await expect
      .poll(() =>
        open(near).then(
          ({ kind }) => kind,
          ({ code }) => code,
        ),
      )
      .toBe('pty');
  });

  it('accepts blocks larger than the system’s buffer while it receives bytes', async () => {
    const { near, far } = await ptyPair();
    const [one, other] = [await open(near), await open(far)];
    const blocks = 400;
    const block = new Uint8Array(16_384).fill(7);
    let there = 0;
    const all = new Promise<void>((resolve) => {
      other.listen({
        data: (bytes) => {
          there += bytes.length;
          // A peer that responds to each chunk, but otherwise sends nothing.
          other.write(Uint8Array.of(1)).catch(() => {});
          if (there === blocks * block.length) resolve();
        },
        closed: () => {},
      });
    });
    one.listen({ data: () => {}, closed: () => {} });
    for (let i = 0; i < blocks; i++) await one.write(block);
    await all;
    expect(there).toBe(blocks * block.length);
  }, 30_000);
});
