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

describe('the Node check', () => {
  it.each([
    ['20.19.0', 'ok'],
    ['24.1.0', 'ok'],
    ['20.18.3', 'fail'],
    ['18.20.0', 'fail'],
  ])('reports Node %s as %s', (version, status) => {
    expect(checkNode(version).status).toBe(status);
  });
});

describe('the clock check', () => {
  it('fails in 1970, the start time of boards without a battery', () => {
    expect(checkClock(1000)).toMatchObject({
      status: 'fail',
      detail: '1970-01-01T00:00:01.000Z is in the past',
    });
    expect(checkClock(Date.now()).status).toBe('ok');
  });
});

describe('the folder check', () => {
  it('passes for a folder that does not exist yet', async () => {
    const missing = join(folder, 'a', 'b');
    expect(await checkFolder('config folder', missing, 'private')).toEqual([
      { check: 'config folder', status: 'ok', detail: `${missing}, created when needed`, next: null },
    ]);
  });

  it('fails if others can read the folder or a file in it, and prints the fix', async () => {
    await chmod(folder, 0o700);
    await writeFile(join(folder, 'contexts.json'), '{}', { mode: 0o644 });
    expect(await checkFolder('config folder', folder, 'private')).toEqual([
      {
        check: 'config folder',
        status: 'fail',
        detail: `other users can read ${join(folder, 'contexts.json')}`,
        next: `chmod -R go= ${folder}`,
      },
    ]);
    await chmod(join(folder, 'contexts.json'), 0o600);
    expect(await checkFolder('config folder', folder, 'private')).toMatchObject([{ status: 'ok' }]);
  });

  it('fails for a file in place of the folder', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '', { mode: 0o700 });
    expect(await checkFolder('data folder', file, 'any')).toMatchObject([
      { status: 'fail', detail: `${file} is not a folder` },
    ]);
  });
});

describe('the port check', () => {
  it('warns about a port in use, and lists its process if the system reports it', async () => {
    const port = await listening(createTcp());
    const found = await checkPort('port http', port, '--http-port');
    expect(found.detail).toContain(`${port} is in use`);
    if (process.platform === 'linux') expect(found.detail).toContain(`pid ${process.pid}`);
  });

  it('passes for a free port', async () => {
    const server = createTcp();
    const port = await listening(server);
    await new Promise((done) => servers.pop()?.close(done));
    expect(await checkPort('port http', port, '--http-port')).toMatchObject({ status: 'ok' });
  });
});

describe('the context check', () => {
  const options = { timeoutMs: 400, now: Date.now, signal: new AbortController().signal };
  const config = () => join(folder, 'config');

  /** An HTTPS server with a certificate from its own CA. */
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

  it('passes without contexts', async () => {
    expect(await checkContexts({ AIOT_CONFIG_DIR: config() }, options)).toMatchObject([{ status: 'ok' }]);
  });

  it('reports that a platform responds and how long its certificate is valid', async () => {
    const findings = await check({ lab: await platform('lab') }, 'lab');
    expect(findings.map(({ check: name, status }) => [name, status])).toEqual([
      ['context lab', 'ok'],
      ['context lab certificate', 'ok'],
    ]);
    expect(findings[0]?.detail).toMatch(/responds, and is the current context$/);
    expect(findings[1]?.detail).toMatch(/valid for \d+ more days$/);
  });

  it('fails for a server certificate signed by another CA', async () => {
    const { url } = await platform('lab');
    const { file: ca } = await openAuthority(join(folder, 'other'), Date.now);
    expect(await check({ lab: { url, ca } }, 'lab')).toMatchObject([
      { status: 'fail', detail: expect.stringContaining('is not trusted') },
    ]);
  });

  it('fails if the CA file is missing', async () => {
    const { url } = await platform('lab');
    expect(await check({ lab: { url, ca: join(folder, 'gone.pem') } }, 'lab')).toMatchObject([
      { status: 'fail', detail: expect.stringContaining('does not exist') },
    ]);
  });

  it('only warns about contexts other than the current one', async () => {
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

  it('warns about an unreachable and an unresponsive platform within its time limit', async () => {
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
        next: 'The context down names this platform: check its address and that it is running.',
      },
      {
        check: 'context silent',
        status: 'warn',
        detail: expect.stringContaining('no response within 400 ms'),
      },
    ]);
  });
});
