import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type DdiClient, ddiClient, pushBundle, rollOut } from '../support/ddi.js';
import { type FaultyProxy, faultyProxy, type Passed } from '../support/faulty-proxy.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';
import { rolloutEnd, rolloutNow } from '../support/rollout.js';
import {
  type ImageOptions,
  makeImage,
  makeSigner,
  type Signer,
  type Swupdate,
  startSwupdate,
} from '../support/swupdate.js';

const patience = 60_000;
const installed = 'All Chunks Installed.';

describeReal('swupdate', 'SWUpdate’s suricatta', () => {
  let own: TestPlatform;
  let proxy: FaultyProxy;
  let signer: Signer;
  let folder: string;
  let client: Swupdate | undefined;
  let count = 0;

  beforeAll(async () => {
    own = await testPlatform({ ddiPollMs: 1000 });
    proxy = await faultyProxy(own);
    folder = join(own.folder, 'swupdate');
    await mkdir(folder);
    signer = makeSigner(folder, 'vendor');
  }, patience);
  afterEach(async () => {
    proxy.fail();
    await client?.stop();
    client = undefined;
    // No call of this client may be taken for one of the next test's client.
    await proxy.settled();
    proxy.passed.length = 0;
  });
  afterAll(async () => {
    await proxy?.close();
    await own?.stop();
  });

  /** Creates a device whose client polls either directly over TLS or through the proxy. */
  async function device(direct = false): Promise<DdiClient & { target: string }> {
    const target = join(folder, `installed-${++count}.bin`);
    const made = await ddiClient(own, `sw-${count}`);
    const where = direct ? { url: own.platform.urls.http, ca: own.platform.ca } : { url: proxy.url };
    client = await startSwupdate({
      ...{ folder, ...where, id: made.name, token: made.secret, certificate: signer.certificate },
    });
    return { ...made, target };
  }

  /** Rolls an image out to a device. */
  async function deliver(
    { name, target }: { name: string; target: string },
    more: Partial<ImageOptions> = {},
  ) {
    const payload = more.payload ?? randomBytes(200_000);
    const image = await makeImage({ folder, signer, target, ...more, payload });
    const release = await pushBundle(own, `image-${count}`, image);
    return { payload, rollout: await rollOut(own, release, `name=${name}`) };
  }

  const feedbackWith = (text: string) => (call: Passed) =>
    call.path.includes('feedback') && call.body.includes(text);
  const actionOf = ({ path }: Passed) => Number(/\/(\d+)/.exec(path)?.[1]);

  it(
    'sends its attributes, installs signed images over TLS, and counts as updated once the new system runs',
    async () => {
      const made = await device(true);
      const { payload, rollout } = await deliver(made);
      await client?.printed(installed);
      expect((await readFile(made.target)).equals(payload)).toBe(true);
      const tags = async () => (await own.client.devices.get(made.name)).tags;
      await expect.poll(tags).toMatchObject({ 'attr.board': 'lab', 'attr.hwRevision': '1.0' });
      // The image is installed, but nothing has confirmed yet that it runs.
      const state = async () => (await rolloutNow(own.client, rollout.id)).devices[0]?.state;
      await expect.poll(state).toBe('updating');
      await client?.confirm(await made.offered());
      const ended = await rolloutEnd(own.client, rollout.id);
      expect(ended).toMatchObject({ state: 'done', devices: [{ state: 'committed' }] });
      expect(await own.client.devices.get(made.name)).toMatchObject({ firmware: '1', online: true });
    },
    patience,
  );

  it(
    'resumes an interrupted download',
    async () => {
      const made = await device();
      proxy.fail(({ method, path, headers }) =>
        method === 'GET' && path.includes('/artifacts/') && !headers.range ? { cutAfter: 3_000_000 } : {},
      );
      const { payload } = await deliver(made, { payload: randomBytes(8_000_000) });
      await proxy.seen(feedbackWith(installed));
      const parts = proxy.passed.filter(({ headers }) => headers.range !== undefined);
      expect(parts.map(({ status, headers }) => [status, headers.range])).toEqual([
        [206, expect.stringMatching(/^bytes=[1-9]\d{5,}-$/)],
      ]);
      expect((await readFile(made.target)).equals(payload)).toBe(true);
    },
    patience,
  );

  it.each<[string, (other: Signer) => Partial<ImageOptions>]>([
    ['with a wrong hash', () => ({ sha256: '0'.repeat(64) })],
    ['without a signature', () => ({ signer: null })],
    ['signed by someone else', (other) => ({ signer: other })],
    ['for other hardware', () => ({ hardware: '9.9' })],
  ])(
    'rejects an image %s',
    async (_what, more) => {
      const made = await device();
      const { rollout } = await deliver(made, more(makeSigner(folder, 'stranger')));
      const ended = await rolloutEnd(own.client, rollout.id);
      expect(ended.devices[0]).toMatchObject({ state: 'failed', error: { code: 'AIOT_DDI_FAILED' } });
      expect(await made.offered()).toBe(0);
      const size = await stat(made.target).then(
        (found) => found.size,
        () => 0,
      );
      await rm(made.target, { force: true });
      expect(size).toBe(0);
    },
    patience,
  );

  it(
    'never sees an update that was withdrawn before it polled',
    async () => {
      const made = await device();
      await proxy.seen(({ method }) => method === 'PUT');
      proxy.fail(({ path }) => (path === '' ? { status: 503 } : {}));
      const { rollout } = await deliver(made);
      await own.client.rollouts.command(rollout.id, 'abort');
      expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({ devices: [{ state: 'withdrawn' }] });
      const from = proxy.passed.length;
      proxy.fail();
      // The client polls again after errors, and finds nothing to do.
      await proxy.seen(({ path, status }) => path === '' && status === 200, from + 1);
      expect(proxy.passed.filter(({ path }) => /deploymentBase|cancelAction/.test(path))).toEqual([]);
    },
    patience,
  );

  it(
    'drops an update that is withdrawn during its download',
    async () => {
      const made = await device();
      proxy.fail(({ method, path }) =>
        method === 'GET' && path.includes('/artifacts/') ? { rate: 1_000_000 } : {},
      );
      const { rollout } = await deliver(made, { payload: randomBytes(30_000_000) });
      await proxy.seen(({ method, path }) => method === 'GET' && path.includes('/artifacts/'));
      await own.client.rollouts.command(rollout.id, 'abort');
      const left = await proxy.seen(({ path }) => /^\/cancelAction\/\d+\/feedback$/.test(path));
      expect(left).toMatchObject({ status: 200, body: expect.stringContaining('cancellation acknowledged') });
      expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({
        ...{ state: 'aborted', devices: [{ state: 'withdrawn' }] },
      });
      expect(proxy.passed.filter(({ status }) => status >= 400)).toEqual([]);
    },
    patience,
  );

  it(
    'keeps an update that was installed before the abort',
    async () => {
      const made = await device();
      const { payload, rollout } = await deliver(made);
      const last = await proxy.seen(feedbackWith(installed));
      await client?.confirm(actionOf(last));
      await rolloutEnd(own.client, rollout.id);
      // A rollout that has ended cannot be aborted, and nothing is withdrawn from the device.
      await expect(own.client.rollouts.command(rollout.id, 'abort')).rejects.toMatchObject({
        code: 'AIOT_ROLLOUT_STATE',
      });
      expect(await made.offered('cancelAction')).toBe(0);
      expect((await readFile(made.target)).equals(payload)).toBe(true);
    },
    patience,
  );

  it(
    'recovers from an action that was closed during the download',
    async () => {
      const made = await device();
      let goOn = () => {};
      const hold = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      proxy.fail(({ method, path }) =>
        method === 'GET' && path.includes('/artifacts/') ? { rate: 500_000, hold } : {},
      );
      const { rollout } = await deliver(made, { payload: randomBytes(2_000_000) });
      const loading = await proxy.seen(
        ({ method, path }) => method === 'GET' && path.includes('/artifacts/'),
      );
      const id = await made.offered();
      expect(loading.status).toBe(200);
      expect(await made.say(`/deploymentBase/${id}/feedback`, 'closed', 'failure', 'stopped by hand')).toBe(
        200,
      );
      goOn();
      expect((await rolloutEnd(own.client, rollout.id)).devices[0]).toMatchObject({ state: 'failed' });
      await proxy.seen(({ path, status }) => path.includes('feedback') && status === 410);
      const from = proxy.passed.length;
      await proxy.seen(({ path, status }) => path === '' && status === 200, from);
      // The next update is installed as usual.
      proxy.fail();
      await deliver(made);
      await proxy.seen(feedbackWith(installed), from);
    },
    patience,
  );

  it(
    'gets nothing with a wrong token, however often it polls',
    async () => {
      const made = await ddiClient(own, `sw-${++count}`);
      const wrong = { id: made.name, token: 'x'.repeat(32), certificate: signer.certificate };
      client = await startSwupdate({ folder, url: proxy.url, ...wrong });
      await proxy.seen(() => true, 1);
      expect(new Set(proxy.passed.map(({ status }) => status))).toEqual(new Set([401]));
    },
    patience,
  );
});
