import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { loadProject } from '../../src/lib/core/project.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { signManifest, type UnsignedManifest } from '../../src/lib/formats/manifest/manifest.js';
import { openModel } from '../../src/lib/loop/model/open-model.js';
import type { ModelOptions } from '../../src/lib/loop/model/options.js';
import type { ModelEvent } from '../../src/lib/loop/types.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { packSigned, verifySigned } from '../../src/lib/model/bundle/signed-bundle.js';
import { modelName } from '../../src/lib/model/files.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { motionBundle } from '../support/motion-bundle.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let cache: string;
let events: ModelEvent[];
let opened: { close(): Promise<void> }[];
const before = process.env.AIOT_CONFIG_DIR;

beforeAll(async () => {
  own = await testPlatform(await fixedPorts());
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  const { urls, ca } = own.platform;
  const local = { url: urls.http, ca, token: own.token };
  await writeContexts({ current: 'local', contexts: { local } });
});
afterAll(async () => {
  if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
  else process.env.AIOT_CONFIG_DIR = before;
  await own.stop();
});
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'aiot-cache-'));
  events = [];
  opened = [];
});
afterEach(async () => {
  for (const keeper of opened) await keeper.close();
  await rm(cache, { recursive: true, force: true });
});

let models = 0;
/** Returns a model name that only one test uses. */
const newName = () => `motion${++models}`;

function bundleOf(name: string, seed: number, golden: 'right' | 'wrong' = 'right'): Uint8Array {
  const bundle = unpackBundle(motionBundle(seed, golden));
  bundle.info.name = name;
  return packBundle(bundle);
}

async function push(name: string, bundle: Uint8Array): Promise<number> {
  return (await pushTiny(own.client, own.key, { name, bundle })).version;
}

async function promote(name: string, version: number): Promise<void> {
  const reason = 'a test';
  const { stage } = await own.client.models.get(name, version);
  if (stage === 'dev') await own.client.models.promote(name, version, { to: 'staging', reason });
  await own.client.models.promote(name, version, { to: 'production', reason });
}

async function open(reference: string, options: Partial<ModelOptions> = {}) {
  const keeper = await openModel({
    reference,
    project: null,
    cache,
    // Disables polling, because the tests check for changes themselves.
    pollMs: 3_600_000,
    onEvent: (event) => events.push(event),
    ...options,
  });
  opened.push(keeper);
  return keeper;
}

const kinds = () => events.map(({ kind }) => kind);

describe('a model from the platform', () => {
  it('that is the project’s own, but was not pushed, is reported with the command that pushes it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-unpushed-'));
    try {
      expect((await runCli(['init', join(folder, 'pump'), '--template', 'motor-watch'])).code).toBe(0);
      const project = await loadProject(join(folder, 'pump'));
      await expect(open(`${modelName(project)}@production`, { project })).rejects.toMatchObject({
        code: 'AIOT_NOT_FOUND',
        next: expect.stringMatching(/^Push the project’s model with `aiot model push`/),
      });
      await expect(open('unknown@production', { project })).rejects.toMatchObject({
        code: 'AIOT_NOT_FOUND',
        next: expect.not.stringContaining('model push'),
      });
      const { urls, ca } = own.platform;
      const gone = { url: 'https://127.0.0.1:9', ca, token: own.token };
      const local = { url: urls.http, ca, token: own.token };
      await writeContexts({ current: 'local', contexts: { local, gone } });
      // The project has no model: that the platform does not respond is only half of the reason.
      await expect(openModel({ project, cache, context: 'gone' })).rejects.toMatchObject({
        message: expect.stringMatching(/model\.aiot does not exist yet, and its model cannot be fetched/),
        next: expect.stringMatching(/^Create it with `aiot model train`/),
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('is replaced at run time by a promoted version, and restored if that version misbehaves', async () => {
    const name = newName();
    await promote(name, await push(name, bundleOf(name, 1)));
    const keeper = await open(`${name}@production`);
    const first = keeper.current();
    expect(keeper.state()).toMatchObject({ name, version: 1, source: 'platform', swaps: 0 });
    await keeper.check();
    expect(keeper.current()).toBe(first);

    await promote(name, await push(name, bundleOf(name, 2)));
    await keeper.check();
    const second = keeper.current();
    expect(second.version).toBe(2);
    expect(kinds()).toEqual(['swapped']);

    keeper.misbehaved(second, new Error('NaN'));
    expect(keeper.current()).toBe(first);
    expect(keeper.state()).toMatchObject({ version: 1, swaps: 2, refused: [second.digest] });
    expect(keeper.state().lastError).toMatch(/@2: .*NaN/);
    // The stage still refers to this version, but it stays rejected in this loop and in later ones.
    await keeper.check();
    expect(keeper.current()).toBe(first);
    // The only remaining model is kept, regardless of how it behaves.
    keeper.misbehaved(first, new Error('NaN'));
    keeper.misbehaved(first, new Error('NaN'));
    expect(keeper.current()).toBe(first);
    expect(kinds()).toEqual(['swapped', 'back', 'note']);
    const again = await open(`${name}@production`);
    expect(again.current().version).toBe(1);
    expect(again.state().source).toBe('cache');

    await promote(name, await push(name, bundleOf(name, 3)));
    await keeper.check();
    await again.check();
    expect([keeper.current().version, again.current().version]).toEqual([3, 3]);
  });

  it('is rejected once, and not fetched again, if its golden vectors fail on this machine', async () => {
    const name = newName();
    await promote(name, await push(name, bundleOf(name, 1)));
    const keeper = await open(`${name}@production`);
    await promote(name, await push(name, bundleOf(name, 2, 'wrong')));
    for (let i = 0; i < 3; i++) await keeper.check();
    expect(keeper.current().version).toBe(1);
    expect(kinds()).toEqual(['refused']);
    expect(events[0]?.text).toMatch(/@2 was not accepted \(AIOT_GOLDEN_MISMATCH.*continuing with .*@1/);
    expect(keeper.state().refused).toHaveLength(1);
    const alone = await mkdtemp(join(tmpdir(), 'aiot-cache-'));
    await expect(open(`${name}@production`, { cache: alone })).rejects.toMatchObject({
      code: 'AIOT_GOLDEN_MISMATCH',
    });
    await expect(open(`${name}@production`, { cache: alone })).rejects.toMatchObject({
      code: 'AIOT_MODEL_REFUSED',
    });
    await rm(alone, { recursive: true });
  });

  it('is rejected if its classes differ from those of the stream, and the classes are listed', async () => {
    const name = newName();
    await promote(name, await push(name, bundleOf(name, 1)));
    const keeper = await open(`${name}@production`);
    const other = unpackBundle(bundleOf(name, 2));
    other.info.classes[2] = 'falling';
    other.info.labels = {};
    for (const golden of other.golden) {
      if (golden.answer.label === 'stairs') golden.answer.label = 'falling';
    }
    await promote(name, await push(name, packBundle(other)));
    await keeper.check();
    expect(keeper.current().version).toBe(1);
    expect(events[0]?.text).toMatch(
      /classes: expected resting, stairs, walking .* falling, resting, walking/,
    );
    // The content itself is valid, so a loop of another project may use it.
    expect(keeper.state().refused).toEqual([]);
    expect((await open(`${name}@2`)).current().info.classes).toContain('falling');
  });

  it('is rejected if it is for another device type, has expired, or has an unknown signer', async () => {
    const name = newName();
    const bundle = bundleOf(name, 1);
    const client = own.client;
    await pushTiny(client, own.key, { name, bundle, change: (m) => ({ ...m, deviceTypes: ['esp32'] }) });
    await pushTiny(client, own.key, { name, bundle, change: (m) => ({ ...m, expires: 1000 }) });
    await pushTiny(client, own.key, { name, bundle });
    await expect(open(`${name}@1`)).rejects.toMatchObject({ code: 'AIOT_MODEL_UNFIT' });
    await expect(open(`${name}@2`)).rejects.toMatchObject({ code: 'AIOT_MODEL_UNFIT' });
    const trust = trustRootOf(publicKeyOf(generateKeyPair().privatePem));
    await expect(open(`${name}@3`, { trust })).rejects.toMatchObject({ code: 'AIOT_SIGNATURE_INVALID' });
    expect((await open(`${name}@3`)).state().version).toBe(3);
  });
});

describe('a model for a newer interface', () => {
  const newer = (m: UnsignedManifest) => ({ ...m, interface: 99 });
  const refusal = {
    code: 'AIOT_UPDATE_INTERFACE',
    message: expect.stringMatching(/@1(\.aiot)?: expected a model for interface 17 at most, got one for 99$/),
    next: expect.stringContaining('aiot version --check'),
  };

  it('is refused by a loop, which continues with its own model', async () => {
    const name = newName();
    const bundle = bundleOf(name, 1);
    await pushTiny(own.client, own.key, { name, bundle, change: newer });
    await expect(open(`${name}@1`)).rejects.toMatchObject(refusal);
    const other = newName();
    await promote(other, await push(other, bundleOf(other, 1)));
    const keeper = await open(`${other}@production`);
    const next = bundleOf(other, 2);
    const { version } = await pushTiny(own.client, own.key, { name: other, bundle: next, change: newer });
    await promote(other, version);
    await keeper.check();
    expect(keeper.current().version).toBe(1);
    expect(events[0]?.text).toMatch(/@2 was not accepted \(AIOT_UPDATE_INTERFACE.*continuing with .*@1/);
  });

  it('is refused in a file', async () => {
    const name = newName();
    const bundle = bundleOf(name, 1);
    const manifest = manifestOf(bundle, {
      ...{ name, version: 1, sequence: 1, issued: 1, expires: null, deviceTypes: ['virtual'] },
    });
    const file = join(cache, `${name}@1.aiot`);
    await writeFile(file, packSigned(bundle, signManifest(newer(manifest), own.key)));
    const trust = trustRootOf(publicKeyOf(own.key));
    await expect(open(file, { trust })).rejects.toMatchObject(refusal);
    // Without its signature verified, too.
    const { json, code } = await runCli(['model', 'inspect', file, '--json']);
    expect([code, json]).toMatchObject([5, { error: { code: 'AIOT_UPDATE_INTERFACE' } }]);
  });
});

describe('the connection to the platform', () => {
  it('falls back to the cached model during an outage, unless the cache was modified', async () => {
    const name = newName();
    await promote(name, await push(name, bundleOf(name, 1)));
    const reference = `${name}@production`;
    const keeper = await open(reference);
    await own.platform.stop();
    try {
      for (let i = 0; i < 3; i++) await keeper.check();
      expect(kinds()).toEqual(['offline']);
      expect(keeper.state()).toMatchObject({ version: 1, source: 'platform' });
      const started = performance.now();
      const offline = await open(reference);
      expect(performance.now() - started).toBeLessThan(2000);
      expect(offline.state()).toMatchObject({ version: 1, source: 'cache', digest: keeper.state().digest });
      expect(kinds()).toEqual(['offline', 'offline']);

      const folder = join(cache, 'loop', 'bundles');
      const [file = ''] = await readdir(folder);
      const whole = await readFile(join(folder, file));
      for (const at of [600, Math.floor(whole.length / 2), whole.length - 100]) {
        const bent = Buffer.from(whole);
        bent[at] = bent[at]! ^ 1;
        await writeFile(join(folder, file), bent);
        await expect(open(reference), `byte ${at}`).rejects.toMatchObject({
          code: 'AIOT_PLATFORM_UNREACHABLE',
        });
      }
      // The file is intact again, but signed by a key that is not trusted.
      await writeFile(join(folder, file), whole);
      const trust = trustRootOf(publicKeyOf(generateKeyPair().privatePem));
      await expect(open(reference, { trust })).rejects.toMatchObject({ code: 'AIOT_PLATFORM_UNREACHABLE' });
      expect((await open(reference)).state().source).toBe('cache');
    } finally {
      await own.restart();
    }
    events = [];
    await keeper.check();
    expect(kinds()).toEqual(['online']);
    await promote(name, await push(name, bundleOf(name, 2)));
    await keeper.check();
    expect(keeper.current().version).toBe(2);
  });

  it('is polled, so that the loop picks up a newly promoted version', async () => {
    const name = newName();
    await promote(name, await push(name, bundleOf(name, 1)));
    const keeper = await open(`${name}@production`, { pollMs: 20 });
    await promote(name, await push(name, bundleOf(name, 2)));
    await expect.poll(() => keeper.current().version).toBe(2);
  });
});

describe('the model cache', () => {
  it('supports several loops at once', async () => {
    const name = newName();
    await promote(name, await push(name, bundleOf(name, 1)));
    const keepers = await Promise.all([1, 2, 3, 4].map(() => open(`${name}@production`)));
    await promote(name, await push(name, bundleOf(name, 2)));
    await Promise.all(keepers.map((keeper) => keeper.check()));
    expect(keepers.map((keeper) => keeper.current().version)).toEqual([2, 2, 2, 2]);
    expect(await readdir(join(cache, 'loop', 'bundles'))).toHaveLength(2);
  });

  it('stays intact when a process that writes to it is killed', async () => {
    const name = newName();
    for (let seed = 1; seed <= 4; seed++) await push(name, bundleOf(name, seed));
    const script = join(import.meta.dirname, '../support/model-fetcher.mjs');
    const child = spawn(process.execPath, [script, name, '4', cache], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let rounds = 0;
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        rounds += chunk.toString().split('\n').length - 1;
        if (rounds >= 12) child.kill('SIGKILL');
      });
      child.once('close', () => resolve());
    });
    expect(rounds).toBeGreaterThanOrEqual(12);
    const trust = (await own.client.trust.get())!;
    const folder = join(cache, 'loop', 'bundles');
    // The process may have been killed between two rounds, when no file exists.
    for (const file of existsSync(folder) ? await readdir(folder) : []) {
      if (file.endsWith('.tmp')) continue;
      expect(verifySigned(await readFile(join(folder, file)), trust, file).manifest.name).toBe(name);
    }
    for (let version = 1; version <= 4; version++) {
      expect((await open(`${name}@${version}`)).state().version).toBe(version);
    }
  });
});
