import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { withClient } from '../../src/lib/api/context.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { ociPulledSchema, ociPushedSchema } from '../../src/lib/model/publish/oci.js';
import { runCli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { motionBundle } from '../support/motion-bundle.js';
import { endProgram } from '../support/programs.js';
import { describeReal, registryFolder } from '../support/real.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

interface OciRegistryServer {
  /** Address as HOST:PORT. */
  host: string;
  /** The only accepted user, whose password the registry generates. */
  login: { username: string; password: string } | null;
  stop(): Promise<void>;
}

/** Starts the Distribution project's registry for a folder, without TLS on the loopback interface. */
async function startOciRegistry({ login = false } = {}): Promise<OciRegistryServer> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-oci-'));
  const host = `127.0.0.1:${await freePort()}`;
  const config = {
    version: '0.1',
    log: { level: 'warn' },
    storage: { filesystem: { rootdirectory: join(folder, 'store') } },
    http: { addr: host },
    ...(login ? { auth: { htpasswd: { realm: 'aiot-tests', path: join(folder, 'htpasswd') } } } : {}),
  };
  const file = join(folder, 'registry.json');
  // Valid, because JSON is a subset of YAML.
  await writeFile(file, JSON.stringify(config));
  const child: ChildProcess = spawn(join(registryFolder, 'bin', 'registry'), ['serve', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, OTEL_TRACES_EXPORTER: 'none' },
  });
  let made: OciRegistryServer['login'] = null;
  createInterface({ input: child.stderr! }).on('line', (line) => {
    const password = /password=(\S+) user=docker/.exec(line)?.[1];
    if (password !== undefined) made = { username: 'docker', password };
  });
  const stop = async () => {
    await endProgram(child);
    await rm(folder, { recursive: true, force: true });
  };
  const gone = once(child, 'exit').then(() => {
    throw new Error('the registry ended');
  });
  gone.catch(() => {});
  const answers = async () => {
    for (;;) {
      const answer = await fetch(`http://${host}/v2/`).catch(() => null);
      if (answer && (!login || made)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await Promise.race([answers(), gone]);
  return { host, login: made, stop };
}

/** Returns the output of go-containerregistry's crane. */
function crane(...args: string[]): Buffer {
  const { status, stdout, stderr } = spawnSync(join(registryFolder, 'bin', 'crane'), args, {
    timeout: 60_000,
  });
  if (status !== 0) throw new Error(`crane ${args.join(' ')}: ${stderr}`);
  return stdout;
}

describeReal('registry', 'a model in the Distribution project’s OCI registry', () => {
  let own: UpForTests;
  let open: OciRegistryServer;
  let folder: string;

  beforeAll(async () => {
    own = await upForTests();
    await pushMotion(own, 1);
    open = await startOciRegistry();
  });
  afterAll(async () => {
    await open?.stop();
    await own?.stop();
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-oci-'));
    vi.stubEnv('DOCKER_CONFIG', join(folder, 'docker'));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true, force: true });
  });

  const pushed = (...argv: string[]) => ok(ociPushedSchema, ['model', 'push', ...argv]);
  const pulled = (reference: string, out: string, ...argv: string[]) =>
    ok(ociPulledSchema, ['model', 'pull', reference, '--out', out, ...argv]);

  it('is readable with crane, byte for byte', async () => {
    const at = `${open.host}/models/motion:first`;
    const first = await pushed('motion@1', `oci://${at}`);
    expect(crane('digest', at).toString().trim()).toBe(first.manifest);
    const manifest = JSON.parse(crane('manifest', at).toString());
    expect(manifest).toMatchObject({
      artifactType: 'application/vnd.aiot.model.v1',
      layers: [{ digest: first.digest, size: first.bytes }],
    });
    const blob = crane('blob', `${open.host}/models/motion@${first.digest}`);
    expect(digestOf(blob)).toBe(
      (await withClient(undefined, ({ models }) => models.get('motion', 1))).digest,
    );
    expect(crane('ls', `${open.host}/models/motion`).toString()).toContain('first');
  });

  it('has its signatures under the referrers tag, only once even if pushed again', async () => {
    const first = await pushed('motion@1', `oci://${open.host}/again/motion:1`);
    const again = await pushed('motion@1', `oci://${open.host}/again/motion:1`);
    expect(again).toEqual({ ...first, unchanged: true });
    const index = JSON.parse(
      crane('manifest', `${open.host}/again/motion:${first.manifest.replace(':', '-')}`).toString(),
    );
    expect(index.manifests.map(({ digest }: { digest: string }) => digest)).toEqual([first.signatures]);
    const release = JSON.parse(crane('manifest', `${open.host}/again/motion@${first.signatures}`).toString());
    expect(release.subject.digest).toBe(first.manifest);
  });

  it('is pulled unchanged by tag and by digest, and verified against a trust root', async () => {
    const reference = `oci://${open.host}/back/motion:1`;
    const { manifest, digest } = await pushed('motion@1', reference);
    const out = join(folder, 'by-tag');
    expect(await pulled(reference, out)).toMatchObject({ name: 'motion', version: 1, digest, manifest });
    expect(await pulled(reference, out)).toMatchObject({ unchanged: true });
    const trust = join(folder, 'trust.json');
    await writeFile(trust, JSON.stringify(await trustRoot()));
    await pulled(`oci://${open.host}/back/motion@${manifest}`, join(folder, 'by-digest'), '--trust', trust);
    const file = 'motion-1.aiot';
    const bytes = await readFile(join(out, file));
    expect(bytes.equals(await readFile(join(folder, 'by-digest', file)))).toBe(true);
    // The file is pushed unchanged to another repository, without a platform.
    const again = await pushed(join(out, file), `oci://${open.host}/other/motion`, '--trust', trust);
    expect(again).toMatchObject({ reference: `oci://${open.host}/other/motion:1`, manifest, digest });
  });

  it('is rejected without a trusted signature', async () => {
    const reference = `oci://${open.host}/distrusted/motion:1`;
    await pushed('motion@1', reference);
    const other = await upForTests();
    try {
      const trust = join(folder, 'other.json');
      await pushMotion(other, 2);
      await writeFile(trust, JSON.stringify(await trustRoot()));
      const argv = ['model', 'pull', reference, '--out', join(folder, 'no'), '--trust', trust];
      expect(await refusal(argv)).toMatchObject({ code: 'AIOT_SIGNATURE_INVALID' });
    } finally {
      await other.stop();
    }
  });

  it.each([
    ['a missing tag', 'models/nothing:1', 'AIOT_NOT_FOUND'],
    ['a container image', 'images/any:1', 'AIOT_OCI_REFUSED'],
  ])('pull rejects %s', async (_what, path, code) => {
    crane('append', '--new_tag', `${open.host}/images/any:1`, '-f', await emptyTar(folder));
    const argv = ['model', 'pull', `oci://${open.host}/${path}`, '--out', join(folder, 'no')];
    expect(await refusal(argv)).toMatchObject({ code });
  });

  it('is pushed and pulled with credentials from docker login', async () => {
    const shut = await startOciRegistry({ login: true });
    try {
      const reference = `oci://${shut.host}/models/motion:1`;
      const argv = ['model', 'push', 'motion@1', reference];
      expect(await refusal(argv)).toMatchObject({ code: 'AIOT_OCI_REFUSED' });
      const { username, password } = shut.login!;
      const auth = Buffer.from(`${username}:${password}`).toString('base64');
      await mkdir(join(folder, 'docker'));
      await writeFile(
        join(folder, 'docker', 'config.json'),
        JSON.stringify({ auths: { [shut.host]: { auth } } }),
      );
      await pushed('motion@1', reference);
      expect(await pulled(reference, join(folder, 'in'))).toMatchObject({ version: 1 });
    } finally {
      await shut.stop();
    }
  });
});

const trustRoot = () => withClient(undefined, ({ trust }) => trust.get());

/** Pushes the motion model of this seed, signed by a key that this platform trusts. */
async function pushMotion({ folder }: UpForTests, seed: number): Promise<void> {
  const file = join(folder, 'motion.aiot');
  await writeFile(file, motionBundle(seed));
  await runCli(['model', 'push', file]);
}

async function emptyTar(folder: string): Promise<string> {
  const file = join(folder, 'layer.tar');
  await writeFile(file, Buffer.alloc(1024));
  return file;
}
