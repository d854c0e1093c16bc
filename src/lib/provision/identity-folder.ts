import { existsSync } from 'node:fs';
import { link, lstat, mkdtemp, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { sha256Hex } from '../core/crypto.js';
import { AiotError, systemCode } from '../core/errors.js';
import { makeFolder, syncFolder, writeFileAtomic } from '../core/files.js';
import { type ChipName, chipNames } from '../formats/esp-image/chips.js';
import { macSchema, type ProvisionReply } from '../registry/fields.js';

/** device.json: what a device needs to know about itself and its platform. */
export const identitySchema = z.object({
  name: z.string(),
  id: z.string(),
  type: z.string(),
  /** Of a device on a chip. */
  chip: z.enum(chipNames).optional(),
  /** Of the board that it was made for, where one was named. */
  mac: macSchema.optional(),
  urls: z.object({ http: z.string(), mqtts: z.string() }),
});

export type Identity = z.output<typeof identitySchema>;

/** device.json is the last to be moved in: an identity is whole when it is there. */
export const identityFiles = ['device.key', 'device.crt', 'ca.crt', 'trust.json', 'device.json'] as const;

/** The folder of a device that is a computer: a Pi, a gateway, a virtual one. `key`: PKCS#8 PEM. */
export function identityOf(key: string, answer: Answer): NewFile[] {
  const { certificate, ca, trust } = answer;
  const contents: Record<(typeof identityFiles)[number], string> = {
    'device.key': key,
    'device.crt': certificate,
    'ca.crt': ca,
    'trust.json': `${JSON.stringify(trust, null, 2)}\n`,
    'device.json': descriptionOf(answer),
  };
  const files = identityFiles.map((name) => ({ name, data: contents[name], secret: name === 'device.key' }));
  const root = answer.root ? [{ name: 'root.json', data: `${JSON.stringify(answer.root)}\n` }] : [];
  return [...root, ...files];
}

/** device.json, for people and tools. `chip`: of a device that is a chip. */
export function descriptionOf({ device, urls }: Answer, chip?: ChipName): string {
  const { name, id, type, mac } = device;
  const board = { ...(chip !== undefined && { chip }), ...(mac !== null && { mac }) };
  const identity: Identity = { name, id, type, ...board, urls };
  return `${JSON.stringify(identity, null, 2)}\n`;
}

type Answer = Pick<ProvisionReply, 'device' | 'certificate' | 'ca' | 'trust' | 'root' | 'urls'>;

/** One file that is to appear in a folder; those with a key in them are their owner's alone (mode 0600). */
export interface NewFile {
  name: string;
  data: Uint8Array | string;
  secret?: boolean;
}

/** A folder in which files are to appear: all of them or none. */
interface Place {
  /** Written in full beside the folder's files first, then moved in, in this order. Returns their paths. @throws AIOT_IDENTITY_EXISTS, AIOT_FILE_NOT_WRITABLE */
  put(files: readonly NewFile[]): Promise<string[]>;
  /** Takes away again what `put` has put. */
  undo(): Promise<void>;
  /** Takes back what was made for it; folders that were made in vain go too. */
  leave(): Promise<void>;
}

/**
 * Opens a folder, made when missing, before anybody is asked for anything. What killed runs left in it is removed.
 * @param names the files to come. None of them is there yet, unless `over`: then they take the place of those that are.
 * @throws AIOT_IDENTITY_EXISTS, AIOT_FILE_NOT_WRITABLE
 */
export async function openPlace(out: string, names: readonly string[], over = false): Promise<Place> {
  const taken = over ? undefined : names.find((name) => existsSync(join(out, name)));
  if (taken) throw new AiotError('AIOT_IDENTITY_EXISTS', `${join(out, taken)} is there already`);
  const made = await makeFolder(out);
  await removeStale(out);
  const stage = await mkdtemp(join(out, stagePrefix)).catch((cause: unknown) => {
    const reason = systemCode(cause) ?? 'unknown error';
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write into ${out} (${reason})`, { cause });
  });
  // A full disk is told of before anybody is asked.
  await writeFileAtomic(join(stage, 'probe'), new Uint8Array(probeBytes)).catch(async (error: unknown) => {
    await takeBack(out, stage, made);
    throw error;
  });
  let whole: string[] | null = null;
  return {
    async put(files) {
      for (const { name, data, secret } of files)
        await writeFileAtomic(join(stage, name), data, secret ? 0o600 : 0o644);
      await moveAll(
        files.map(({ name }) => name),
        { from: stage, to: out, over },
      );
      whole = files.map(({ name }) => join(out, name));
      return whole;
    },
    async undo() {
      for (const file of whole ?? []) await rm(file, { force: true });
      whole = null;
    },
    leave: () => takeBack(out, stage, whole ? undefined : made),
  };
}

/** As much as an identity with its images takes. */
const probeBytes = 64 * 1024;

interface Move {
  from: string;
  to: string;
  over: boolean;
}

async function moveAll(names: readonly string[], { from, to, over }: Move): Promise<void> {
  const moved: string[] = [];
  try {
    for (const name of names) {
      if (over) await rename(join(from, name), join(to, name));
      else await moveNew(join(from, name), join(to, name));
      moved.push(name);
    }
    await syncFolder(to);
  } catch (error) {
    // What was there before is gone once it was written over: then the new files stay, and a repeat mends the rest.
    if (!over) for (const name of moved) await rm(join(to, name), { force: true });
    throw error;
  }
}

/** Moves without replacing: of two that provision into one folder at once, one gets it. @throws AIOT_IDENTITY_EXISTS */
async function moveNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') throw new AiotError('AIOT_IDENTITY_EXISTS', `${to} is there already`);
    // FAT, as on SD cards, has no links.
    await rename(from, to);
  }
}

/** `made`: the topmost folder that was made in vain. Another identity may have been written into one meanwhile. */
async function takeBack(out: string, stage: string, made: string | undefined): Promise<void> {
  await rm(stage, { recursive: true, force: true });
  if (made === undefined) return;
  try {
    for (let path = resolve(out); path.startsWith(resolve(made)); path = dirname(path)) await rmdir(path);
  } catch {
    // Not empty: it is somebody's now.
  }
}

const host = sha256Hex(hostname()).slice(0, 8);

/** Of the folder in which this process makes an identity, beside where it goes: whose it is, and on which machine. */
const stagePrefix = `.identity-${host}-${process.pid}-`;

/** `.identity-HOST-PID-xxxxxx`; without the two, of versions before. */
const stageName = /^\.identity-(?:([0-9a-f]{8})-(\d+)-)?[A-Za-z0-9]{6}$/;

/** No run takes as long with one device: of another machine, or with a process id that somebody else has by now. */
const oldMs = 6 * 3_600_000;

/** Removes what runs that were killed have left in a folder: a private key may be in it. Those under way keep theirs. */
export async function removeStale(folder: string): Promise<void> {
  // A folder that cannot be read is told of by whoever writes into it.
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const match = stageName.exec(name);
    if (!match) continue;
    const path = join(folder, name);
    const [, at, pid] = match;
    if ((at === host && !isRunning(Number(pid))) || (await isOld(path)))
      await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

/** Whether a run on this machine was killed while it made an identity for this folder. */
export async function isCutShort(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  return names.some((name) => {
    const [, at, pid] = stageName.exec(name) ?? [];
    return at === host && !isRunning(Number(pid));
  });
}

async function isOld(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => null);
  return found?.isDirectory() === true && Date.now() - found.mtimeMs > oldMs;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, and is somebody else's.
    return systemCode(error) !== 'ESRCH';
  }
}
