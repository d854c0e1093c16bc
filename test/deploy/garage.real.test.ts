import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { renderDeployment } from '../../src/lib/deploy/render.js';
import { type Bucket, openBucket } from '../../src/lib/stream/index.js';
import { root } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { endProgram } from '../support/programs.js';
import { describeReal, garageProgram } from '../support/real.js';
import { loose } from './systems.js';

const bounded = { timeout: 180_000 };

/** A node with its own folder, ports and setup process, as in a pod. */
interface Node {
  folder: string;
  /** Ports of S3, RPC and administration. */
  ports: [number, number, number];
  /** Its name for setup.mjs. */
  name: string;
  garage?: ChildProcess | undefined;
  setup?: ChildProcess | undefined;
}

describeReal('garage', 'three nodes of Garage with rendered files', () => {
  let dir: string;
  let nodes: Node[];
  const secrets = { user: 'aiot-tests', password: randomBytes(24).toString('hex') };

  const start = async (node: Node) => {
    const text = await readFile(join(dir, 'rendered/base/objects/garage.toml'), 'utf8');
    const [s3, rpc, admin] = node.ports;
    const file = join(node.folder, 'garage.toml');
    // The container's folders and ports become those of this test.
    const here = text
      .replaceAll('/data/', `${node.folder}/data/`)
      .replaceAll('/run/secrets/objects', join(dir, 'secrets'))
      .replace('0.0.0.0:9000', `127.0.0.1:${s3}`)
      .replace('0.0.0.0:3901', `127.0.0.1:${rpc}`)
      .replace('0.0.0.0:3903', `127.0.0.1:${admin}`);
    await writeFile(file, here);
    node.garage = spawn(garageProgram, ['-c', file, 'server'], { stdio: 'ignore' });
  };
  const startSetup = (node: Node) => {
    node.setup = spawn(process.execPath, [join(dir, 'rendered/base/objects/setup.mjs')], {
      stdio: 'ignore',
      env: {
        NODES: nodes.map(({ name }) => name).join(','),
        SELF: node.name,
        BUCKET: 'aiot',
        CAPACITY: '100000000',
        SECRETS: join(dir, 'secrets'),
      },
    });
  };
  const kill = async (node: Node) => {
    node.garage?.kill('SIGKILL');
    if (node.garage) await endProgram(node.garage);
    node.garage = undefined;
  };
  /** Resolves when a node can read and write, according to its readiness probe. */
  const ready = async ({ ports }: Node) => {
    for (let tries = 0; tries < 600; tries++) {
      const status = await fetch(`http://127.0.0.1:${ports[2]}/health`).then(
        (reply) => reply.status,
        () => 0,
      );
      if (status === 200) return;
      await delay(100);
    }
    throw new Error('Garage does not become ready');
  };
  const opened = async (node: Node): Promise<Bucket> => {
    const { user, password } = secrets;
    const url = `s3://${user}:${password}@aiot?endpoint=http://127.0.0.1:${node.ports[0]}&region=us-east-1`;
    for (let tries = 0; ; tries++) {
      try {
        return await openBucket(url);
      } catch (error) {
        if (tries === 150) throw error;
        await delay(200);
      }
    }
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-garage-'));
    await renderDeployment({
      target: 'k3s',
      out: join(dir, 'rendered'),
      values: join(root, 'test/deploy/three.yaml'),
    });
    await mkdir(join(dir, 'secrets'));
    const keys = { ...secrets, admin: 'an-admin-token', rpc: randomBytes(32).toString('hex') };
    for (const [name, text] of Object.entries(keys)) await writeFile(join(dir, 'secrets', name), text);
    nodes = [];
    for (let index = 0; index < 3; index++) {
      const folder = join(dir, `node-${index}`);
      await mkdir(join(folder, 'data'), { recursive: true });
      const ports: Node['ports'] = [await freePort(), await freePort(), await freePort()];
      nodes.push({ folder, ports, name: `127.0.0.1:${ports[2]}:${ports[1]}` });
    }
    for (const node of nodes) await start(node);
    for (const node of nodes) startSetup(node);
    for (const node of nodes) await ready(node);
  }, 120_000);
  afterAll(async () => {
    for (const { garage, setup } of nodes ?? []) {
      if (setup) await endProgram(setup);
      if (garage) await endProgram(garage);
    }
    await rm(dir, { recursive: true, force: true });
  });

  it('store an object that every node serves, and keep it when one is lost', bounded, async () => {
    const [first, second, third] = nodes as [Node, Node, Node];
    const body = randomBytes(300_000);
    const one = await opened(first);
    await one.put('models/a', body, 'application/octet-stream', { once: false });
    const two = await opened(second);
    expect((await two.get('models/a')).body.equals(body)).toBe(true);
    await kill(first);
    // Two of three nodes still read and write.
    await two.put('models/b', body, 'application/octet-stream', { once: false });
    const three = await opened(third);
    for (const key of ['models/a', 'models/b'])
      expect((await three.get(key)).body.equals(body), key).toBe(true);
    // The lost node catches up.
    await start(first);
    await ready(first);
    const again = await opened(first);
    expect((await again.get('models/b')).body.equals(body)).toBe(true);
    for (const bucket of [one, two, three, again]) await bucket.close();
  });

  it('replace a node that lost its volume, without losing an object', bounded, async () => {
    const [first, second, third] = nodes as [Node, Node, Node];
    const bodies = Array.from({ length: 20 }, () => randomBytes(50_000));
    const one = await opened(first);
    for (const [index, body] of bodies.entries())
      await one.put(`kept/${index}`, body, 'application/octet-stream', { once: false });
    const told = async (path: string) => {
      const reply = await fetch(`http://127.0.0.1:${first.ports[2]}/v2/${path}`, {
        headers: { authorization: 'Bearer an-admin-token' },
      });
      return loose(await reply.json());
    };
    const layoutOf = () => told('GetClusterLayout');
    const before = await layoutOf();
    await kill(third);
    await rm(join(third.folder, 'data'), { recursive: true });
    await mkdir(join(third.folder, 'data'));
    await start(third);
    let now = before;
    for (let tries = 0; now.version === before.version && tries < 600; tries++) {
      await delay(200);
      now = await layoutOf();
    }
    const ids = ({ roles }: typeof now) => roles.map(({ id }: { id: string }) => id).sort();
    expect(now.version).toBe(before.version + 1);
    expect(ids(now)).toHaveLength(3);
    expect(ids(now).filter((id: string) => ids(before).includes(id))).toHaveLength(2);
    await ready(third);
    // The new node takes over from the lost one automatically.
    for (let tries = 0; tries < 600; tries++) {
      const { versions } = await told('GetClusterLayoutHistory');
      if (!versions.some(({ status }: { status: string }) => status === 'Draining')) break;
      await delay(200);
    }
    // Another node may therefore be lost.
    await kill(second);
    const three = await opened(third);
    for (const [index, body] of bodies.entries())
      expect((await three.get(`kept/${index}`)).body.equals(body), `kept/${index}`).toBe(true);
    for (const bucket of [one, three]) await bucket.close();
  });
});
