import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer as createTcp, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { checkContexts } from '../../src/lib/doctor/contexts.js';
import { checkClock, checkFolder, checkNode } from '../../src/lib/doctor/examine.js';
import { checkPort } from '../../src/lib/doctor/ports.js';
import { openAuthority } from '../../src/lib/provision/authority.js';

let folder: string;
const servers: Server[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-doctor-'));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))));
  await rm(folder, { recursive: true, force: true });
});

async function listening(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  servers.push(server);
  return (server.address() as AddressInfo).port;
}

describe('the check of Node', () => {
  it.each([
    ['20.19.0', 'ok'],
    ['24.1.0', 'ok'],
    ['20.18.3', 'fail'],
    ['18.20.0', 'fail'],
  ])('finds %s %s', (version, status) => {
    expect(checkNode(version).status).toBe(status);
  });
});

describe('the check of the clock', () => {
  it('fails at 1970, where boards without a battery begin', () => {
    expect(checkClock(1000)).toMatchObject({
      status: 'fail',
      detail: '1970-01-01T00:00:01.000Z is in the past',
    });
    expect(checkClock(Date.now()).status).toBe('ok');
  });
});

describe('the check of a folder', () => {
  it('is content with one that is not there yet', async () => {
    const missing = join(folder, 'a', 'b');
    expect(await checkFolder('config folder', missing, 'private')).toEqual([
      { check: 'config folder', status: 'ok', detail: `${missing}, made when needed`, next: null },
    ]);
  });

  it('fails when others may read it or a file in it, and says how to shut it', async () => {
    await chmod(folder, 0o700);
    await writeFile(join(folder, 'contexts.json'), '{}', { mode: 0o644 });
    expect(await checkFolder('config folder', folder, 'private')).toEqual([
      {
        check: 'config folder',
        status: 'fail',
        detail: `others may read ${join(folder, 'contexts.json')}`,
        next: `chmod -R go= ${folder}`,
      },
    ]);
    await chmod(join(folder, 'contexts.json'), 0o600);
    expect(await checkFolder('config folder', folder, 'private')).toMatchObject([{ status: 'ok' }]);
  });

  it('fails on a file in its place', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '', { mode: 0o700 });
    expect(await checkFolder('data folder', file, 'any')).toMatchObject([
      { status: 'fail', detail: `${file} is not a folder` },
    ]);
  });
});

describe('the check of a port', () => {
  it('warns of one in use and names the process, where the system tells', async () => {
    const port = await listening(createTcp());
    const found = await checkPort('port http', port, '--http-port');
    expect(found.detail).toContain(`${port} is in use`);
    if (process.platform === 'linux') expect(found.detail).toContain(`pid ${process.pid}`);
  });

  it('finds a free one free', async () => {
    const server = createTcp();
    const port = await listening(server);
    await new Promise((done) => servers.pop()?.close(done));
    expect(await checkPort('port http', port, '--http-port')).toMatchObject({ status: 'ok' });
  });
});

describe('the check of contexts', () => {
  const options = { timeoutMs: 400, now: Date.now, signal: new AbortController().signal };
  const config = () => join(folder, 'config');

  /** An HTTPS server with a certificate of its own CA. */
  async function platform(name: string): Promise<{ url: string; ca: string }> {
    const authority = await openAuthority(join(folder, name), Date.now);
    const { key, certificate } = await authority.server(['127.0.0.1']);
    const port = await listening(createHttps({ key, cert: certificate }, (_in, out) => out.end('ok')));
    return { url: `https://127.0.0.1:${port}`, ca: authority.file };
  }

  async function check(contexts: Record<string, { url: string; ca?: string }>, current?: string) {
    await mkdir(config(), { recursive: true });
    await writeContexts({ ...(current ? { current } : {}), contexts }, config());
    return checkContexts({ AIOT_CONFIG_DIR: config() }, options);
  }

  it('is content without any', async () => {
    expect(await checkContexts({ AIOT_CONFIG_DIR: config() }, options)).toMatchObject([{ status: 'ok' }]);
  });

  it('tells that a platform answers and how long its certificate is good', async () => {
    const findings = await check({ lab: await platform('lab') }, 'lab');
    expect(findings.map(({ check: name, status }) => [name, status])).toEqual([
      ['context lab', 'ok'],
      ['context lab certificate', 'ok'],
    ]);
    expect(findings[0]?.detail).toMatch(/answers, and is in use$/);
    expect(findings[1]?.detail).toMatch(/good for \d+ more days$/);
  });

  it('fails for a server that another CA has signed', async () => {
    const { url } = await platform('lab');
    const { file: ca } = await openAuthority(join(folder, 'other'), Date.now);
    expect(await check({ lab: { url, ca } }, 'lab')).toMatchObject([
      { status: 'fail', detail: expect.stringContaining('cannot be trusted') },
    ]);
  });

  it('fails when the CA’s file is gone', async () => {
    const { url } = await platform('lab');
    expect(await check({ lab: { url, ca: join(folder, 'gone.pem') } }, 'lab')).toMatchObject([
      { status: 'fail', detail: expect.stringContaining('no such file') },
    ]);
  });

  it('only warns where that is not the one in use', async () => {
    const [lab, { url }] = [await platform('lab'), await platform('old')];
    const findings = await check(
      { lab, old: { url, ca: join(folder, 'gone.pem') }, other: { url, ca: lab.ca } },
      'lab',
    );
    expect(findings.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(findings.filter(({ status }) => status === 'warn').map((finding) => finding.check)).toEqual([
      ...['context old', 'context other'],
    ]);
  });

  it('warns of one that is down, and of one that accepts and never answers, within its time', async () => {
    const silent = await listening(createTcp((socket) => void socket.resume().on('error', () => {})));
    const gone = createTcp();
    const port = await listening(gone);
    await new Promise((done) => servers.pop()?.close(done));
    const started = Date.now();
    const findings = await check({
      down: { url: `https://127.0.0.1:${port}` },
      silent: { url: `https://127.0.0.1:${silent}` },
    });
    expect(Date.now() - started).toBeLessThan(5000);
    expect(findings).toMatchObject([
      { check: 'contexts', status: 'warn', next: 'aiot context use NAME' },
      {
        check: 'context down',
        status: 'warn',
        detail: expect.stringContaining('ECONNREFUSED'),
        next: 'The context down names this platform: check its address and that it runs.',
      },
      { check: 'context silent', status: 'warn', detail: expect.stringContaining('nothing within 400 ms') },
    ]);
  });
});
