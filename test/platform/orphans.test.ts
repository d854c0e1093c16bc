import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, unlink, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { leaseMs } from '../../src/lib/platform/blobs/leases.js';
import { Lifecycle } from '../../src/lib/platform/lifecycle.js';
import { openState } from '../../src/lib/platform/state.js';
import { pieces } from './blob-stores.js';

let folder: string;
let now: number;
let state: Awaited<ReturnType<typeof openState>>;
const parts = new Lifecycle();
const content = randomBytes(5000);
const digest = digestOf(content);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-orphans-'));
  now = Date.now();
  const log = pino({ enabled: false });
  state = await openState({ dataDir: folder, now: () => now, log }, parts);
});
afterEach(async () => {
  await parts.end();
  await rm(folder, { recursive: true, force: true });
});

const fileOf = (of: string) => {
  const hex = of.slice('sha256:'.length);
  return join(folder, 'blobs', 'sha256', hex.slice(0, 2), hex);
};
/** Makes the file look as if it had been stored long ago. */
const age = (of: string) => utimes(fileOf(of), 1, 1);
const take = () =>
  state.models.addUntrusted({ name: 'guide', digest, bytes: content.length, source: 'test', at: now });

describe('an unreferenced blob', () => {
  it('is kept for a day after its upload, and then removed', async () => {
    await state.blobs.put(digest, pieces(content));
    await age(digest);
    expect(await state.orphans.sweep()).toEqual([]);
    now += leaseMs + 1;
    expect(await state.orphans.sweep()).toEqual([digest]);
    expect(await state.blobs.size(digest)).toBeNull();
  });

  it('loses its delta record before it is removed', async () => {
    await state.blobs.put(digest, pieces(content));
    await age(digest);
    now += leaseMs + 1;
    const [base, target] = [digestOf(Buffer.from('base')), digestOf(Buffer.from('target'))];
    const row = { base, target, digest, bytes: content.length, made: now };
    await state.store.insertInto('deltas').values(row).execute();
    await state.store
      .insertInto('deltas')
      .values({ ...row, target: digest, digest: null })
      .execute();
    let left = Number.NaN;
    const { remove } = state.blobs;
    state.blobs.remove = async (gone) => {
      left = (await state.store.selectFrom('deltas').select('digest').execute()).length;
      return remove(gone);
    };
    expect(await state.orphans.sweep()).toEqual([digest]);
    expect(left).toBe(1);
  });

  it('is kept after being uploaded again, regardless of its age', async () => {
    await state.blobs.put(digest, pieces(content));
    now += leaseMs + 1;
    await state.blobs.put(digest, pieces(content));
    await age(digest);
    expect(await state.orphans.sweep()).toEqual([]);
    await take();
    now += leaseMs + 1;
    await age(digest);
    expect(await state.orphans.sweep()).toEqual([]);
  });

  it('survives a sweep if and only if a concurrent push succeeds', async () => {
    for (let i = 0; i < 20; i++) {
      const bytes = randomBytes(100);
      const of = digestOf(bytes);
      await state.blobs.put(of, pieces(bytes));
      now += leaseMs + 1;
      await age(of);
      const push = () =>
        state.models
          .addUntrusted({ name: 'guide', digest: of, bytes: 100, source: 'test', at: now })
          .then(() => true)
          .catch(() => false);
      const [first, second] = await Promise.all(
        i % 2 === 0 ? [push(), state.orphans.sweep()] : [state.orphans.sweep(), push()],
      );
      const pushed = [first, second].includes(true as never);
      // Either both the version and its blob exist, or neither does.
      expect((await state.blobs.size(of)) !== null).toBe(pushed);
    }
    expect(await state.orphans.check()).toEqual([]);
  });
});

describe('a missing blob', () => {
  it('is reported with the version that needs it, until it is uploaded again', async () => {
    await state.blobs.put(digest, pieces(content));
    await take();
    expect(await state.orphans.check()).toEqual([]);
    await unlink(fileOf(digest));
    const missing = [{ digest, by: 'model guide@1' }];
    expect((await state.orphans.check())[0]).toEqual(missing[0]);
    expect(state.orphans.missing[0]).toEqual(missing[0]);
    await state.blobs.put(digest, pieces(content));
    expect(await state.orphans.check()).toEqual([]);
  });
});
