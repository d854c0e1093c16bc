// Packs folders into an OCI image layout (image-spec 1.1: image-layout, config, manifest, index), without a container engine or a network:
// node scripts/oci/pack.js --out LAYOUT --name NAME:TAG --arch amd64 --layer FOLDER=/PATH … [--base LAYOUT] The same folders give the same
// bytes: names are sorted, and there are no timestamps, owners or gzip file names. Another call with a different --arch adds that image to
// the layout's index.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    name: { type: 'string' },
    arch: { type: 'string', default: 'amd64' },
    layer: { type: 'string', multiple: true, default: [] },
    base: { type: 'string' },
  },
});
const { out, name, arch, layer: layers, base } = values;
if (!out || !name || layers.length === 0) {
  process.stderr.write(
    'node scripts/oci/pack.js --out LAYOUT --name NAME:TAG [--arch ARCH] --layer FOLDER=/PATH …\n',
  );
  process.exit(2);
}

const types = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
};
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Writes a blob under its digest, and returns its descriptor. */
function blob(bytes, mediaType) {
  const digest = sha256(bytes);
  mkdirSync(join(out, 'blobs/sha256'), { recursive: true });
  writeFileSync(join(out, 'blobs/sha256', digest), bytes);
  return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
}
const json = (value, mediaType) => blob(Buffer.from(JSON.stringify(value)), mediaType);
const read = (folder, { digest }) => readFileSync(join(folder, 'blobs', digest.replace(':', '/')));

/** A folder's files as a layer's tar, below a path in the image. */
function tarOf(folder, path) {
  const scratch = mkdtempSync(join(tmpdir(), 'aiot-layer-'));
  try {
    const file = join(scratch, 'layer.tar');
    const { status, stderr } = spawnSync(
      'tar',
      [
        ...['--create', '--file', file, '--directory', folder, '--sort=name', '--format=gnu'],
        ...['--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=u+rwX,go+rX,go-w'],
        ...['--transform', `s,^\\./\\?,${path.replace(/^\/+/, '').replace(/\/*$/, '/')},S`, '.'],
      ],
      { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } },
    );
    if (status !== 0) throw new Error(stderr);
    return readFileSync(file);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** The image of this architecture in the base layout. */
function baseOf(folder) {
  const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'));
  const all = index.manifests.flatMap((each) =>
    each.mediaType === types.index ? JSON.parse(read(folder, each).toString()).manifests : [each],
  );
  const found =
    all.find(({ platform }) => platform?.architecture === arch) ?? (all.length === 1 ? all[0] : undefined);
  if (!found) throw new Error(`${folder} has no image for ${arch}`);
  const manifest = JSON.parse(read(folder, found).toString());
  for (const each of manifest.layers) blob(read(folder, each), each.mediaType);
  return { manifest, config: JSON.parse(read(folder, manifest.config).toString()) };
}

const under = base === undefined ? undefined : baseOf(base);
const made = layers.map((text) => {
  const [folder, path = '/'] = text.split('=');
  const tar = tarOf(folder, path);
  return { diff: `sha256:${sha256(tar)}`, path, layer: blob(gzipSync(tar, { level: 9 }), types.layer) };
});
const never = '1970-01-01T00:00:00Z';
const config = json(
  {
    created: never,
    architecture: arch,
    os: 'linux',
    config: {
      User: '65532:65532',
      ExposedPorts: { '8443/tcp': {}, '8883/tcp': {} },
      Env: [
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/nodejs/bin',
        'NODE_ENV=production',
        'AIOT_DATA_DIR=/var/lib/aiot',
        'AIOT_CONFIG_DIR=/var/lib/aiot/config',
        'AIOT_CACHE_DIR=/var/lib/aiot/cache',
      ],
      Entrypoint: ['/nodejs/bin/node', '/app/bin/run.js'],
      Cmd: ['--help'],
      WorkingDir: '/var/lib/aiot',
      Labels: { 'org.opencontainers.image.title': 'aiot', 'org.opencontainers.image.licenses': 'Apache-2.0' },
    },
    rootfs: {
      type: 'layers',
      diff_ids: [...(under?.config.rootfs.diff_ids ?? []), ...made.map(({ diff }) => diff)],
    },
    history: [
      ...(under?.config.history ?? []),
      ...made.map(({ path }) => ({ created: never, created_by: `scripts/oci/pack.js ${path}` })),
    ],
  },
  types.config,
);
const manifest = json(
  {
    schemaVersion: 2,
    mediaType: types.manifest,
    config,
    layers: [...(under?.manifest.layers ?? []), ...made.map(({ layer }) => layer)],
  },
  types.manifest,
);

const indexFile = join(out, 'index.json');
const before = existsSync(indexFile) ? JSON.parse(readFileSync(indexFile, 'utf8')).manifests : [];
const [inner] = before;
const others = inner ? JSON.parse(read(out, inner).toString()).manifests : [];
const all = [
  ...others.filter(({ platform }) => platform.architecture !== arch),
  { ...manifest, platform: { architecture: arch, os: 'linux' } },
].sort((a, b) => (a.platform.architecture < b.platform.architecture ? -1 : 1));
const images = json({ schemaVersion: 2, mediaType: types.index, manifests: all }, types.index);
mkdirSync(dirname(indexFile), { recursive: true });
writeFileSync(join(out, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
writeFileSync(
  indexFile,
  `${JSON.stringify({
    schemaVersion: 2,
    mediaType: types.index,
    manifests: [{ ...images, annotations: { 'org.opencontainers.image.ref.name': name } }],
  })}\n`,
);
process.stdout.write(`${name} ${images.digest}\n`);
