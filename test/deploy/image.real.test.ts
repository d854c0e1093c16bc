import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { listening } from '../support/mosquitto.js';
import { describeReal, registryProgram } from '../support/real.js';

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: { architecture: string; os: string };
}

describeReal('tar', 'a packed image layout', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-image-'));
    await mkdir(join(dir, 'app/bin'), { recursive: true });
    await writeFile(join(dir, 'app/bin/run.js'), 'console.log(1)\n');
    await writeFile(join(dir, 'app/a.txt'), 'a');
    await symlink('a.txt', join(dir, 'app/b.txt'));
    await mkdir(join(dir, 'empty'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));
  const pack = (out: string, ...more: string[]) => {
    const words = [
      '--out',
      join(dir, out),
      '--name',
      'aiot:1.2.3',
      '--layer',
      `${join(dir, 'app')}=/app`,
      ...more,
    ];
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(root, 'scripts/oci/pack.js'), ...words],
      { encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    return stdout.trim();
  };
  const json = async <Value>(out: string, path: string) =>
    JSON.parse(await readFile(join(dir, out, path), 'utf8')) as Value;
  const pathOf = ({ digest }: Descriptor) => `blobs/${digest.replace(':', '/')}`;

  it('is reproducible regardless of file times', async () => {
    const first = pack('one');
    await utimes(join(dir, 'app/a.txt'), 1, 1);
    expect(pack('two')).toBe(first);
    const blobs = await readdir(join(dir, 'one/blobs/sha256'));
    expect(blobs).toEqual(await readdir(join(dir, 'two/blobs/sha256')));
    for (const digest of blobs) {
      expect(
        createHash('sha256')
          .update(await readFile(join(dir, 'one/blobs/sha256', digest)))
          .digest('hex'),
      ).toBe(digest);
    }
  });

  it('has an image for each architecture, with layers that match their digests', async () => {
    pack('both', '--arch', 'arm64');
    pack('both', '--arch', 'amd64');
    const { manifests } = await json<{ manifests: Descriptor[] }>('both', 'index.json');
    expect(manifests).toHaveLength(1);
    const images = await json<{ manifests: Descriptor[] }>('both', pathOf(manifests[0]!));
    expect(images.manifests.map(({ platform }) => platform?.architecture)).toEqual(['amd64', 'arm64']);
    for (const image of images.manifests) {
      const { config, layers } = await json<{ config: Descriptor; layers: Descriptor[] }>(
        'both',
        pathOf(image),
      );
      const said = await json<{
        architecture: string;
        rootfs: { diff_ids: string[] };
        config: { User: string };
      }>('both', pathOf(config));
      expect([said.architecture, said.config.User]).toEqual([image.platform?.architecture, '65532:65532']);
      const tar = gunzipSync(await readFile(join(dir, 'both', pathOf(layers[0]!))));
      expect(said.rootfs.diff_ids).toEqual([`sha256:${createHash('sha256').update(tar).digest('hex')}`]);
      const listed = spawnSync('tar', ['-tv', '--numeric-owner'], { input: tar, encoding: 'utf8' }).stdout;
      expect(listed).toMatch(/^-rw-r--r-- 0\/0 +\d+ 1970-01-01 \S+ app\/bin\/run\.js$/m);
      expect(listed).toMatch(/app\/b\.txt -> a\.txt$/m);
    }
  });

  it('is built on the layers of another image', async () => {
    pack('base');
    pack('upon', '--base', join(dir, 'base'), '--layer', `${join(dir, 'empty')}=/var/lib/aiot`);
    const { manifests } = await json<{ manifests: Descriptor[] }>('upon', 'index.json');
    const images = await json<{ manifests: Descriptor[] }>('upon', pathOf(manifests[0]!));
    const { layers, config } = await json<{ layers: Descriptor[]; config: Descriptor }>(
      'upon',
      pathOf(images.manifests[0]!),
    );
    expect(layers).toHaveLength(3);
    expect(
      (await json<{ rootfs: { diff_ids: string[] } }>('upon', pathOf(config))).rootfs.diff_ids,
    ).toHaveLength(3);
  });

  describeReal('registry', 'a real registry', () => {
    let registry: ChildProcess;
    let url: string;
    beforeAll(async () => {
      const port = await freePort();
      url = `http://127.0.0.1:${port}/v2/aiot`;
      const file = join(dir, 'registry.yaml');
      await writeFile(
        file,
        `version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: ${join(dir, 'registry')} } }\nhttp: { addr: '127.0.0.1:${port}' }\n`,
      );
      registry = spawn(registryProgram, ['serve', file], { stdio: 'ignore' });
      await listening(port);
    });
    afterAll(async () => {
      registry.kill();
      await once(registry, 'exit');
    });

    /**
     * Uploads blobs with POST and PUT, and manifests with PUT, as the distribution specification requires.
     */
    const push = async (out: string, descriptor: Descriptor): Promise<number> => {
      const bytes = await readFile(join(dir, out, pathOf(descriptor)));
      const content = JSON.parse(bytes.toString()) as {
        manifests?: Descriptor[];
        config?: Descriptor;
        layers?: Descriptor[];
      };
      for (const image of content.manifests ?? []) expect(await push(out, image)).toBe(201);
      for (const blob of [...(content.config ? [content.config] : []), ...(content.layers ?? [])]) {
        const begun = await fetch(`${url}/blobs/uploads/`, { method: 'POST' });
        const at = new URL(begun.headers.get('location') ?? '', url);
        at.searchParams.set('digest', blob.digest);
        const sent = await fetch(at, { method: 'PUT', body: await readFile(join(dir, out, pathOf(blob))) });
        expect(sent.status).toBe(201);
      }
      const tag = content.manifests ? '1.2.3' : descriptor.digest;
      const headers = { 'content-type': descriptor.mediaType };
      return (await fetch(`${url}/manifests/${tag}`, { method: 'PUT', headers, body: bytes })).status;
    };

    it('accepts the image, returns it unchanged, and rejects an image with a missing layer', async () => {
      pack('pushed', '--arch', 'arm64');
      pack('pushed', '--arch', 'amd64');
      const { manifests } = await json<{ manifests: Descriptor[] }>('pushed', 'index.json');
      expect(await push('pushed', manifests[0]!)).toBe(201);
      const back = await fetch(`${url}/manifests/1.2.3`, { headers: { accept: manifests[0]!.mediaType } });
      expect(back.headers.get('docker-content-digest')).toBe(manifests[0]!.digest);
      expect(Buffer.from(await back.arrayBuffer())).toEqual(
        await readFile(join(dir, 'pushed', pathOf(manifests[0]!))),
      );
      const images = await json<{ manifests: Descriptor[] }>('pushed', pathOf(manifests[0]!));
      const manifest = await json<{ layers: Descriptor[] }>('pushed', pathOf(images.manifests[0]!));
      const body = JSON.stringify({
        ...manifest,
        layers: [{ ...manifest.layers[0], digest: `sha256:${'0'.repeat(64)}` }],
      });
      const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' };
      const refused = await fetch(`${url}/manifests/wrong`, { method: 'PUT', headers, body });
      expect([refused.status, await refused.text()]).toEqual([
        400,
        expect.stringContaining('MANIFEST_BLOB_UNKNOWN'),
      ]);
    });
  });
});
