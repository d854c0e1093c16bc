import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Certificates, makeCertificates } from '../support/certificates.js';
import { runCli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { listening } from '../support/mosquitto.js';
import { describeReal } from '../support/real.js';

describeReal('mosquitto', 'Mosquitto with rendered files', () => {
  let dir: string;
  let certificates: Certificates;
  let broker: ChildProcess | undefined;
  let inside: number;
  let outside: number;
  const password = 'of the test';

  /** Maps the container's folders to folders in `dir`, and its ports to free ones. */
  const here = (text: string) =>
    text
      .replaceAll('/mosquitto/', `${dir}/mosquitto/`)
      .replaceAll('/certs/', `${dir}/certs/`)
      .replaceAll('/tmp/passwords', `${dir}/passwords`)
      .replace('listener 1883', `listener ${inside} 127.0.0.1`)
      .replace('listener 8883', `listener ${outside} 127.0.0.1`);
  const show = async (made: Certificates) => {
    // Each file is replaced at once, so that Mosquitto never reads half of it.
    for (const name of ['key', 'crt']) {
      await cp(made.path(`server.${name}`), join(dir, `certs/next.${name}`));
      await rename(join(dir, `certs/next.${name}`), join(dir, `certs/tls.${name}`));
    }
  };
  const publish = (...credentials: string[]) =>
    spawnSync(
      'mosquitto_pub',
      ['-h', '127.0.0.1', '-p', String(inside), '-q', '1', '-t', 'a', '-m', 'b', ...credentials],
      { timeout: 10_000, encoding: 'utf8' },
    ).status;
  const shown = async () => {
    const socket = connect({ host: '127.0.0.1', port: outside, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const fingerprint = socket.getPeerX509Certificate()?.fingerprint256;
    socket.destroy();
    return fingerprint;
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-mosquitto-rendered-'));
    certificates = await makeCertificates();
    [inside, outside] = [await freePort(), await freePort()];
    await writeFile(join(dir, 'deploy.yaml'), 'name: alone\nplatform: false\nbroker: {}\n');
    const out = join(dir, 'rendered');
    const values = join(dir, 'deploy.yaml');
    const { code, stderr } = await runCli([
      'deploy',
      'render',
      '--target',
      'compose',
      '--values',
      values,
      '--out',
      out,
    ]);
    expect([code, stderr]).toEqual([0, '']);
    for (const folder of ['mosquitto/aiot', 'mosquitto/data', 'certs', 'secrets'])
      await mkdir(join(dir, folder), { recursive: true });
    for (const name of ['mosquitto.conf', 'start.sh']) {
      const text = here(await readFile(join(out, 'broker', name), 'utf8'));
      // When started as root, Mosquitto switches to a user that cannot read the passwords. The container has only one user.
      await writeFile(
        join(dir, 'mosquitto/aiot', name),
        name === 'mosquitto.conf' ? `user root\n${text}` : text,
      );
    }
    await writeFile(join(dir, 'secrets/programs'), password);
    await show(certificates);
    broker = spawn('sh', [join(dir, 'mosquitto/aiot/start.sh')], {
      stdio: 'ignore',
      env: { PATH: `${process.env.PATH}:/usr/sbin`, PASSWORDS: join(dir, 'secrets') },
    });
    await listening(inside);
  });
  afterAll(async () => {
    if (broker && broker.exitCode === null) {
      const exited = once(broker, 'exit');
      broker.kill('SIGTERM');
      await exited;
    }
    await certificates.remove();
    await rm(dir, { recursive: true, force: true });
  });

  it('accepts only clients with the password', async () => {
    expect(publish('-u', 'programs', '-P', password)).toBe(0);
    expect(publish('-u', 'programs', '-P', 'another')).not.toBe(0);
    expect(publish()).not.toBe(0);
    expect(await readFile(join(dir, 'passwords'), 'utf8')).not.toContain(password);
  });

  it('serves a new certificate without a restart', async () => {
    const of = async (made: Certificates) =>
      new X509Certificate(await made.read('server.crt')).fingerprint256;
    expect(await shown()).toBe(await of(certificates));
    const next = await makeCertificates();
    try {
      await show(next);
      const wanted = await of(next);
      for (let tries = 0; tries < 160 && (await shown()) !== wanted; tries++) await delay(250);
      expect(await shown()).toBe(wanted);
      expect(broker?.exitCode).toBe(null);
    } finally {
      await next.remove();
    }
  });
});
