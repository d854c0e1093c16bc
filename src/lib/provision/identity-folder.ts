import { existsSync } from 'node:fs';
import { link, lstat, mkdtemp, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { macSchema, type ProvisionReply } from '../api/fields.js';
import { sha256Hex } from '../core/crypto.js';
import { AiotError, systemCode } from '../core/errors.js';
import { makeFolder, syncFolder, writeFileAtomic } from '../core/files.js';
import { type ChipName, chipNames } from '../formats/esp-image/chips.js';

/** device.json: the data a device needs about itself and its platform. */
export const identitySchema = z.object({
  name: z.string(),
  id: z.string(),
  type: z.string(),
  /** Only for a device on a chip. */
  chip: z.enum(chipNames).optional(),
  /** MAC of the board for which the identity was made, if one was specified. */
  mac: macSchema.optional(),
  urls: z.object({ http: z.string(), mqtts: z.string() }),
});

export type Identity = z.output<typeof identitySchema>;

/** device.json is moved in last, so an identity is complete once that file exists. */
export const identityFiles = ['device.key', 'device.crt', 'ca.crt', 'trust.json', 'device.json'] as const;

/** The files for the folder of a device that is a computer: a Pi, a gateway or a virtual device. `key`: PKCS#8 PEM. */
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

/** Contents of device.json. `chip`: only for a device on a chip. */
export function descriptionOf({ device, urls }: Answer, chip?: ChipName): string {
  const { name, id, type, mac } = device;
  const board = { ...(chip !== undefined && { chip }), ...(mac !== null && { mac }) };
  const identity: Identity = { name, id, type, ...board, urls };
  return `${JSON.stringify(identity, null, 2)}\n`;
}

type Answer = Pick<ProvisionReply, 'device' | 'certificate' | 'ca' | 'trust' | 'root' | 'urls'>;

/** A file to create in a folder; files that contain a key are readable only by their owner (mode 0600). */
export interface NewFile {
  name: string;
  data: Uint8Array | string;
  secret?: boolean;
}

/** A folder that receives either all of the files or none. */
interface Place {
  /**
   * Writes all files to a staging folder, then moves them in, in this order. Returns their paths. @throws AIOT_ALREADY_EXISTS,
   * AIOT_FILE_NOT_WRITABLE
   */
  put(files: readonly NewFile[]): Promise<string[]>;
  /** Removes the files that `put` created. */
  undo(): Promise<void>;
  /** Removes the staging folder, and created folders that remained empty. */
  leave(): Promise<void>;
}

/**
 * Opens a folder, which is created if missing. Called before the platform is contacted. Leftovers of killed runs are removed.
 * @param names the files to be written. With `over`, existing files are replaced; otherwise, none of them may exist yet.
 * @throws AIOT_ALREADY_EXISTS, AIOT_FILE_NOT_WRITABLE
 */
export async function openPlace(out: string, names: readonly string[], over = false): Promise<Place> {
  const taken = over ? undefined : names.find((name) => existsSync(join(out, name)));
  if (taken)
    throw new AiotError('AIOT_ALREADY_EXISTS', `${join(out, taken)} already exists`, {
      subject: 'identity',
    });
  const made = await makeFolder(out);
  await removeStale(out);
  const stage = await mkdtemp(join(out, stagePrefix)).catch((cause: unknown) => {
    const reason = systemCode(cause) ?? 'unknown error';
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write to ${out} (${reason})`, { cause });
  });
  // Detects a full disk before the platform is contacted.
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

/** Maximum size of an identity with its images, bytes. */
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
    // Overwritten files cannot be restored. In that case the new files stay, and a repeated run writes the rest.
    if (!over) for (const name of moved) await rm(join(to, name), { force: true });
    throw error;
  }
}

/**
 * Moves a file without replacing an existing one: if two runs provision into one folder at once, only one succeeds. @throws
 * AIOT_ALREADY_EXISTS
 */
async function moveNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (systemCode(error) === 'EEXIST')
      throw new AiotError('AIOT_ALREADY_EXISTS', `${to} already exists`, { subject: 'identity' });
    // FAT, which is used on SD cards, has no hard links.
    await rename(from, to);
  }
}

/**
 * Removes the staging folder and the folders that remained empty. `made` is the topmost folder that was created. Another identity may have been
 * written into it meanwhile.
 */
async function takeBack(out: string, stage: string, made: string | undefined): Promise<void> {
  await rm(stage, { recursive: true, force: true });
  if (made === undefined) return;
  try {
    for (let path = resolve(out); path.startsWith(resolve(made)); path = dirname(path)) await rmdir(path);
  } catch {
    // The folder is not empty: another run has written into it.
  }
}

const host = sha256Hex(hostname()).slice(0, 8);

/** Prefix of this process's staging folder in the target folder. It identifies the machine and the process. */
const stagePrefix = `.identity-${host}-${process.pid}-`;

/** Matches `.identity-HOST-PID-xxxxxx`; earlier versions omitted HOST and PID. */
const stageName = /^\.identity-(?:([0-9a-f]{8})-(\d+)-)?[A-Za-z0-9]{6}$/;

/** No run takes this long for one device, ms. An older staging folder was left by another machine, or its process ID has been reused. */
const oldMs = 6 * 3_600_000;

/**
 * Removes the leftovers of killed runs from a folder, because they may contain a private key. Staging folders of running processes are
 * kept.
 */
export async function removeStale(folder: string): Promise<void> {
  // If the folder is unreadable, the first write reports the error.
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

/** Whether a run on this machine was killed while creating an identity in this folder. */
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
    // EPERM: the process is running and belongs to another user.
    return systemCode(error) !== 'ESRCH';
  }
}
