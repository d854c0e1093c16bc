import { createHash } from 'node:crypto';
import { Agent, request } from 'node:https';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SimulatedMcuboot, simulatedImage } from '../../src/lib/flash/smp/simulated.js';
import { ddiClient, pushBundle, rollOut } from '../support/ddi.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { rolloutEnd, rolloutNow } from '../support/rollout.js';

/**
 * The requests of Zephyr's client (subsys/mgmt/hawkbit), and what it requires of each response. The client itself was not run; the
 * shapes follow its source code. Its bodies changed when it was rewritten as a state machine.
 */
interface ZephyrBodies {
  configData(id: string): object;
  feedback(action: number, execution: string, finished: string): object;
}

const shapes: Record<string, ZephyrBodies> = {
  'before its state machine': {
    configData: (id) => ({
      mode: 'merge',
      data: { VIN: id, hwRevision: '3' },
      id: '',
      time: '',
      status: { execution: 'closed', result: { finished: 'success' } },
    }),
    feedback: (action, execution, finished) => ({
      id: String(action),
      status: { execution, result: { finished } },
    }),
  },
  'with its state machine': {
    configData: (id) => ({ mode: 'merge', data: { VIN: id } }),
    feedback: (_action, execution, finished) => ({ status: { execution, result: { finished } } }),
  },
};

/** Limits of the client, bytes. */
const limits = { link: 49, download: 199, url: 299, slot: 0x40000 };

let own: TestPlatform;
const agents: Agent[] = [];
let count = 0;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());
afterEach(() => {
  for (const agent of agents.splice(0)) agent.destroy();
});

type Outcome = 'nothing to do' | 'restarts' | 'reported' | 'canceled';

/** A board with MCUboot that runs Zephyr's client. `stored` is the action in its settings, which survives restarts. */
class ZephyrBoard {
  readonly device = new SimulatedMcuboot();
  readonly asked: string[] = [];
  stored = 0;
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(
    readonly name: string,
    private readonly token: string,
    private readonly bodies: ZephyrBodies,
  ) {
    agents.push(this.agent);
  }

  /** One run of the client, on one connection. */
  async probe(): Promise<Outcome> {
    const base = `/default/controller/v1/${this.name}`;
    const { config, _links } = await this.json('GET', base);
    expect(config.polling.sleep).toMatch(/^\d\d:\d\d:\d\d$/);
    if (_links.cancelAction) {
      const tail = tailOf(_links.cancelAction.href, 'cancelAction/');
      const action = Number(/^cancelAction\/([1-9]\d*)$/.exec(tail)?.[1]);
      const finished = action === this.stored ? 'failure' : 'success';
      await this.send('POST', `${base}/${tail}/feedback`, this.bodies.feedback(action, 'closed', finished));
      return 'canceled';
    }
    if (_links.configData)
      await this.send('PUT', `${base}/configData`, this.bodies.configData(this.name.split('-').at(-1) ?? ''));
    if (!_links.deploymentBase) return 'nothing to do';
    const tail = tailOf(_links.deploymentBase.href, 'deploymentBase/');
    const { id, deployment } = await this.json('GET', `${base}/${tail}`);
    const action = Number(id);
    expect(action).toBeGreaterThan(0);
    expect(action).toBeLessThan(2 ** 31);
    if (action === this.stored) {
      const body = this.bodies.feedback(action, 'closed', 'success');
      await this.send('POST', `${base}/deploymentBase/${action}/feedback`, body);
      return 'reported';
    }
    await this.download(deployment);
    this.stored = action;
    return 'restarts';
  }

  // biome-ignore lint/suspicious/noExplicitAny: the checks of the client are below
  private async download(deployment: any): Promise<void> {
    expect(deployment.chunks).toHaveLength(1);
    expect(deployment.chunks[0].part).toBe('bApp');
    expect(deployment.chunks[0].artifacts).toHaveLength(1);
    const [{ size, hashes, _links }] = deployment.chunks[0].artifacts;
    expect(size).toBeLessThanOrEqual(limits.slot);
    const { href } = _links['download-http'];
    const path = href.slice(href.indexOf('/DEFAULT/controller/v1'));
    expect(path).toMatch(/^\/DEFAULT\/controller\/v1\//);
    expect(path.length).toBeLessThanOrEqual(limits.download);
    const image = await this.send('GET', path);
    expect(image).toHaveLength(size);
    expect(createHash('sha256').update(image).digest('hex')).toBe(hashes.sha256);
    this.device.flash.slots[1].fill(0xff);
    this.device.flash.slots[1].set(image);
    this.device.flash.pending = 'test';
  }

  // biome-ignore lint/suspicious/noExplicitAny: only the client knows the members that it reads
  private async json(method: string, path: string): Promise<any> {
    return JSON.parse((await this.send(method, path)).toString());
  }

  /** Any other status than 200 and any length that differs from the header are errors for the client. */
  private send(method: string, path: string, body?: object): Promise<Buffer> {
    expect(path.length).toBeLessThanOrEqual(limits.url);
    this.asked.push(`${method} ${path.split('/').slice(5).join('/').replace(/\d+/g, 'N')}`);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const { hostname, port } = new URL(own.platform.urls.http);
    return new Promise((resolve, reject) => {
      const headers = {
        authorization: `TargetToken ${this.token}`,
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json;charset=UTF-8', 'content-length': Buffer.byteLength(text) }),
      };
      const call = request(
        { hostname, port, path, method, headers, ca: own.ca, agent: this.agent },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('end', () => {
            const whole = Buffer.concat(chunks);
            try {
              expect([path, response.statusCode]).toEqual([path, 200]);
              expect(response.headers['content-encoding']).toBeUndefined();
              expect(Number(response.headers['content-length'])).toBe(whole.length);
              resolve(whole);
            } catch (error) {
              reject(error);
            }
          });
        },
      );
      call.on('error', reject);
      call.end(text);
    });
  }
}

/** The end of a link, for which the client has a short buffer. */
function tailOf(href: string, name: string): string {
  const tail = href.slice(href.indexOf(name));
  expect(tail.startsWith(name)).toBe(true);
  expect(tail.length).toBeLessThanOrEqual(limits.link);
  return tail;
}

describe.each(Object.entries(shapes))('Zephyr’s hawkBit client, %s', (_release, bodies) => {
  async function board(): Promise<ZephyrBoard> {
    const name = `frdm_k64f-${(0x30c1 + ++count).toString(16)}`;
    const { secret } = await ddiClient(own, name, 'zephyr');
    // The client's buffer for its token.
    expect(secret.length).toBeLessThanOrEqual(32);
    return new ZephyrBoard(name, secret, bodies);
  }

  it('installs an image, restarts into it, and counts as updated only then', async () => {
    const zephyr = await board();
    expect(await zephyr.probe()).toBe('nothing to do');
    const image = Buffer.from(simulatedImage('2.0.0'));
    const release = await pushBundle(own, `zephyr-${count}`, image, ['zephyr']);
    const rollout = await rollOut(own, release, `name=${zephyr.name}`);
    expect(await zephyr.probe()).toBe('restarts');
    const [before] = (await rolloutNow(own.client, rollout.id)).devices;
    expect(before?.state).not.toBe('committed');
    zephyr.device.start();
    expect(zephyr.device.version).toBe('2.0.0');
    zephyr.device.flash.trial = false;
    expect(await zephyr.probe()).toBe('reported');
    expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({
      state: 'done',
      devices: [{ state: 'committed' }],
    });
    expect(zephyr.asked).toEqual([
      'GET ',
      'PUT configData',
      'GET ',
      'GET deploymentBase/N',
      expect.stringMatching(/^GET softwaremodules\/N\/artifacts\//),
      'GET ',
      'GET deploymentBase/N',
      'POST deploymentBase/N/feedback',
    ]);
    // Attributes are requested again after an update.
    expect(await zephyr.probe()).toBe('nothing to do');
    expect(zephyr.asked.at(-1)).toBe('PUT configData');
  });

  it('confirms the cancellation of an update that it has not installed', async () => {
    const zephyr = await board();
    const release = await pushBundle(own, `zephyr-${count}`, Buffer.from(simulatedImage('2.0.0')), [
      'zephyr',
    ]);
    const rollout = await rollOut(own, release, `name=${zephyr.name}`);
    expect(await zephyr.probe()).toBe('restarts');
    // The board lost power before it stored the action.
    zephyr.stored = 0;
    await own.client.rollouts.command(rollout.id, 'abort');
    expect(await zephyr.probe()).toBe('canceled');
    expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({
      state: 'aborted',
      devices: [{ state: 'withdrawn' }],
    });
    expect(await zephyr.probe()).toBe('nothing to do');
  });
});
