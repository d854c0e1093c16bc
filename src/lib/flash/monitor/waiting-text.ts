import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readlink, realpath } from 'node:fs/promises';
import { holdersOf } from '../port/holders.js';

export interface WaitingText {
  bytes: Uint8Array;
  /** Lets the port go: once it is opened otherwise, as a pty whose last user leaves hangs up. */
  close(): Promise<void>;
}

const none: WaitingText = { bytes: new Uint8Array(0), close: async () => undefined };

/**
 * What a pty has kept for its next reader: a program behind it may have said all it has to say already. Opening it as a
 * serial port throws that away (serialport empties what it opens). Real ports keep nothing, and one that another program
 * reads is left alone.
 */
export async function waitingText(path: string): Promise<WaitingText> {
  const real = await realpath(path).catch(() => '');
  if (!/^\/dev\/pts\/\d+$/.test(real)) return none;
  const readers = await Promise.all((await holdersOf(real)).map(async ({ pid }) => !(await madePty(pid))));
  if (readers.includes(true)) return none;
  const file = await open(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY).catch(
    () => null,
  );
  if (!file) return none;
  return { bytes: await readAll(file), close: () => file.close() };
}

/** Whether a program has a pty's other end, too: who makes one often keeps both, and reads at its own. */
async function madePty(pid: number): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const targets = await Promise.all(files.map((file) => readlink(`/proc/${pid}/fd/${file}`).catch(() => '')));
  return targets.some((target) => target.endsWith('/ptmx'));
}

/** To the end, or until a read would wait. */
async function readAll(file: FileHandle): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const buffer = new Uint8Array(4096);
  // The kernel holds at most some kilobytes; who talks without end is read later.
  while (parts.length < 64) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length).catch(() => ({ bytesRead: 0 }));
    if (bytesRead === 0) break;
    parts.push(buffer.slice(0, bytesRead));
  }
  return Buffer.concat(parts);
}
