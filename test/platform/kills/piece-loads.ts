import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorOfProblem } from '../../../src/lib/api/problem.js';
import { digestOf } from '../../../src/lib/core/crypto.js';
import type { AiotError } from '../../../src/lib/core/errors.js';
import { restoreBackup, saveBackup } from '../../../src/lib/platform/backup/restore.js';
import { references } from '../../../src/lib/platform/datasets/orphans.js';
import { openStore } from '../../../src/lib/platform/store/database.js';
import { type Answer, ask } from '../../support/guide.js';
import { untilGone } from './api-loads.js';
import type { Load, Operated } from './harness.js';

interface Piecewise {
  content: Buffer;
  path: string;
  /** The number of acknowledged bytes. */
  told: number;
}

const tus = (token: string) => ({ authorization: `Bearer ${token}`, 'tus-resumable': '1.0.0' });

/** The offset of an upload. @throws if the upload is gone */
async function offsetOf({ http, ca, token }: Operated, path: string): Promise<number> {
  const answer = await ask(http, path, { method: 'HEAD', headers: tus(token), ca });
  const { status, headers } = answer;
  if (status === 404) throw new Error(`the upload ${path} was acknowledged and is gone`);
  if (status !== 200) throw refusalOf(answer, `HEAD ${path}`);
  return Number(headers['upload-offset']);
}

/** The error in a response, with its code, so that the caller can recognize expected errors. */
function refusalOf({ status, text }: Answer, what: string): Error {
  const problem = text.startsWith('{') ? JSON.parse(text) : null;
  const told: AiotError | null = errorOfProblem(problem, { endpoint: what, retryable: false });
  return told ?? new Error(`${what}: ${status} ${text}`);
}

async function beginPiecewise({ http, ca, token }: Operated): Promise<Piecewise> {
  const content = randomBytes(200_000 + Math.floor(Math.random() * 800_000));
  const metadata = `digest ${Buffer.from(digestOf(content)).toString('base64')}`;
  const headers = { ...tus(token), 'upload-length': String(content.length), 'upload-metadata': metadata };
  const answer = await ask(http, '/api/v1/uploads', { method: 'POST', headers, ca });
  if (answer.status !== 201) throw refusalOf(answer, 'POST /uploads');
  const { headers: told } = answer;
  return { content, path: String(told.location), told: 0 };
}

/**
 * Uploads in pieces (tus) that continue across kills. No acknowledged byte may be sent twice, and each upload must become its blob.
 */
export function pieceLoad(atOnce: number): Load {
  const open = new Set<Piecewise>();
  const whole = new Set<string>();
  let count = 0;
  const one = async (victim: Operated, upload: Piecewise, signal: AbortSignal) => {
    const { http, ca, token } = victim;
    const { content, path } = upload;
    for (let at = await offsetOf(victim, path); at < content.length && !signal.aborted; at = upload.told) {
      const body = content.subarray(at, at + 1 + Math.floor(Math.random() * 150_000));
      const type = { 'content-type': 'application/offset+octet-stream', 'upload-offset': String(at) };
      const answer = await ask(http, path, {
        method: 'PATCH',
        headers: { ...tus(token), ...type },
        body,
        ca,
      });
      if (answer.status !== 204) throw refusalOf(answer, `PATCH ${path} at ${at}`);
      upload.told = Number(answer.headers['upload-offset']);
      count++;
    }
    if (upload.told < content.length) return;
    open.delete(upload);
    whole.add(digestOf(content));
  };
  return {
    name: 'uploads in pieces',
    async run(victim, signal) {
      const lane = async (own: Piecewise | undefined) => {
        for (let next = own; !signal.aborted; next = undefined) {
          const upload = next ?? (await beginPiecewise(victim));
          open.add(upload);
          await one(victim, upload, signal);
        }
      };
      const left = [...open];
      const lanes = Array.from({ length: atOnce }, (_, i) =>
        lane(left[i]).catch((error: unknown) => {
          if (!isBroken(error)) throw error;
        }),
      );
      await Promise.all(lanes);
    },
    async verify(victim) {
      for (const upload of open) {
        const offset = await offsetOf(victim, upload.path);
        if (offset < upload.told)
          throw new Error(`${upload.path}: ${upload.told} bytes were acknowledged, ${offset} are there`);
      }
      for (const digest of whole) await (await victim.client.blobs.get(digest)).bytes();
      whole.clear();
      await giveUp(victim, open);
    },
    acknowledged: () => count,
  };
}

/**
 * Deletes uploads that were started during a kill, because no client knows their address and the number of open uploads is limited.
 */
async function giveUp({ folder, http, ca, token }: Operated, known: ReadonlySet<Piecewise>): Promise<void> {
  const files = await readdir(join(folder, 'data', 'blobs', 'uploads'));
  const paths = files
    .filter((file) => file.endsWith('.json'))
    .map((file) => `/api/v1/uploads/${file.slice(0, -5)}`);
  for (const path of paths) {
    if ([...known].some((upload) => upload.path.endsWith(path))) continue;
    const { status } = await ask(http, path, { method: 'DELETE', headers: tus(token), ca });
    if (status >= 500 || status === 429) throw new Error(`DELETE ${path}: ${status}`);
  }
}

/** Whether the connection ended, or nothing accepts connections. */
export function isBroken(error: unknown): boolean {
  const { code } = error as { code?: string };
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(code ?? '');
}

/** Checks that each blob has a record or a lease, and that each record has its blob. */
export function recordLoad(): Load {
  let looked = 0;
  return {
    name: 'records',
    async verify({ folder }) {
      const data = join(folder, 'data');
      const store = await openStore(join(data, 'state.db'));
      try {
        const wanted = await references(store);
        const leases = await store.selectFrom('blobLeases').select('digest').execute();
        const there = new Set<string>();
        for (const file of await readdir(join(data, 'blobs', 'sha256'), {
          recursive: true,
          withFileTypes: true,
        }))
          if (file.isFile()) there.add(`sha256:${file.name}`);
        const known = new Set([...wanted, ...leases].map(({ digest }) => digest));
        const lost = wanted.filter(({ digest }) => !there.has(digest));
        if (lost.length > 0) throw new Error(`no blob for ${lost.map(({ by }) => by).join(', ')}`);
        const stray = [...there].filter((digest) => !known.has(digest));
        if (stray.length > 0) throw new Error(`no record of ${stray.join(', ')}`);
        looked += wanted.length;
      } finally {
        await store.destroy();
      }
    },
    acknowledged: () => looked,
  };
}

/** Creates jobs. Each acknowledged job must be completed, no matter how often the process is killed in the meantime. */
export function jobLoad(): Load {
  const owed = new Set<string>();
  let count = 0;
  return {
    name: 'jobs',
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        for (const kind of ['blob.sweep', 'events.prune']) {
          const { id } = await client.jobs.create({ kind, request: {} });
          owed.add(id);
          count++;
        }
        await delay(50);
      }),
    async verify({ client }) {
      for (const last = Date.now() + 20_000; ; await delay(100)) {
        const states = new Map((await client.jobs.list()).map(({ id, state }) => [id, state]));
        const open = [...owed].filter((id) => states.get(id) !== 'done');
        if (open.length === 0) break;
        if (Date.now() > last) throw new Error(`the job ${open[0]} is ${states.get(open[0] ?? '')}`);
      }
      owed.clear();
    },
    acknowledged: () => count,
  };
}

/** Makes backups under load. A complete one must contain everything acknowledged before it; an interrupted one must leave nothing. */
export function backupLoad(): Load {
  const made: { file: string; digest: string }[] = [];
  const passphrase = 'a dozen words of it';
  let begun = 0;
  let count = 0;
  return {
    name: 'backups',
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        const content = randomBytes(10_000);
        const digest = digestOf(content);
        await client.blobs.put(digest, content);
        const file = join(victim.folder, `backup-${++begun}.tar`);
        await saveBackup({ client, file, passphrase });
        made.push({ file, digest });
        count++;
      }),
    async verify({ folder }) {
      for (const { file, digest } of made.splice(0)) {
        await restoreBackup({ file, passphrase, data: null });
        const name = `blobs/sha256/${digest.slice('sha256:'.length)}`;
        if (!(await readFile(file)).includes(name)) throw new Error(`${file} is without ${name}`);
      }
      const left = [...(await readdir(join(folder, 'data', '.backup')).catch(() => []))];
      const parts = (await readdir(folder)).filter((name) => name.endsWith('.part'));
      if (left.length + parts.length > 0) throw new Error(`left behind: ${[...left, ...parts].join(', ')}`);
    },
    acknowledged: () => count,
  };
}
