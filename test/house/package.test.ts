import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { vendored } from '../../scripts/inside.js';
import { packageSources } from '../../src/lib/project/firmware/folder.js';
import { root } from '../support/cli.js';

const packageJson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

describe('the package', () => {
  it('contains the program, manifest, templates and firmware, and no development files', async () => {
    const npm = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
    });
    const [{ files, size, unpackedSize }] = JSON.parse(npm.stdout) as [
      { files: { path: string }[]; size: number; unpackedSize: number },
    ];
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        'LICENSE',
        'README.md',
        'bin/run.js',
        'dist/lib/cli/main.js',
        'dist/web/index.html',
        'dist/web/installer.html',
        'dist/web/assets/licences.txt',
        'dist/vendor/NOTICE.txt',
        'dist/vendor/litert_wasm_compat_internal.wasm.gz',
        'dist/vendor/face_detection_full_range_sparse.tflite',
        'oclif.manifest.json',
        'package.json',
      ]),
    );
    if (existsSync(join(root, 'templates', 'har-imu')))
      expect(paths).toContain('templates/har-imu/aiot.yaml');
    const allowed =
      /^(firmware\/.*|dist\/.*\.js|dist\/index\.d\.ts|dist\/man\/aiot[\w-]*\.1|dist\/vendor\/[\w.]+|dist\/(package-lock\.json|docs\.json\.gz)|dist\/web\/((index|installer)\.html|assets\/[\w-]+\.(js|css|svg|txt))|templates\/.*|bin\/run\.js|[^/]*\.(json|md)|LICENSE)$/;
    expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
    // With an npm-shrinkwrap.json, npm would also install development dependencies from a registry (see
    // scripts/lock.js).
    expect([...paths, ...packageJson.files]).not.toContain('npm-shrinkwrap.json');
    // When this was written: 1,456 files, 8.1 MB, unpacked 17.3 MB. Packing adds manual pages (0.4 MB), the recordings (0.7 MB) and docs/ (0.2 MB).
    expect(paths.filter((path) => !path.startsWith('dist/man/')).length).toBeLessThan(1_600);
    expect(size).toBeLessThan(10e6);
    expect(unpackedSize).toBeLessThan(21e6);
    // Everything that `aiot firmware init` copies.
    const sources = await packageSources();
    expect(sources.paths.length).toBeGreaterThan(250);
    expect(sources.paths.filter((path) => !paths.includes(`firmware/${path}`))).toEqual([]);
  });

  it('bundles files of larger packages unchanged, and lists each package with its version', () => {
    const folder = join(root, 'dist', 'vendor');
    const notice = readFileSync(join(folder, 'NOTICE.txt'), 'utf8');
    const expected = ['NOTICE.txt'];
    for (const [name, files] of Object.entries(vendored)) {
      const { version } = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'));
      expect(notice).toContain(`${name} ${version}, unchanged: `);
      for (const file of files) {
        const packed = file.endsWith('.wasm');
        const path = `${basename(file)}${packed ? '.gz' : ''}`;
        const bytes = readFileSync(join(folder, path));
        const original = readFileSync(join(root, 'node_modules', name, file));
        expect((packed ? gunzipSync(bytes) : bytes).equals(original), path).toBe(true);
        expected.push(path);
      }
    }
    expect(readdirSync(folder).sort()).toEqual(expected.sort());
  });

  it('has at most 105 MB of dependencies', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
    const folders = Object.entries<{ dev?: boolean; peer?: boolean }>(lock.packages)
      .filter(([path, { dev, peer }]) => path !== '' && !dev && !peer && existsSync(join(root, path)))
      .map(([path]) => path);
    // When this was written: 89.5 MB in 265 packages. A global install adds aiot's own 19 MB and libsql's build for
    // musl (10 MB).
    expect(folders.length).toBeGreaterThan(200);
    expect(folders.reduce((sum, path) => sum + sizeOf(join(root, path)), 0)).toBeLessThan(105e6);
  });

  it('declares its Node version and the Apache 2.0 license', () => {
    expect(packageJson).toMatchObject({
      name: 'aiot',
      type: 'module',
      license: 'Apache-2.0',
      engines: { node: '>=20.19' },
    });
    expect(readFileSync(join(root, 'LICENSE'), 'utf8')).toContain('Apache License');
  });

  it('has no direct dependency with an install script', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
    const scripted = Object.keys(packageJson.dependencies).filter(
      (name) => lock.packages[`node_modules/${name}`]?.hasInstallScript,
    );
    expect(scripted).toEqual([]);
  });
});

/** Total size of a package's own files in bytes, without nested packages. */
function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? sum : sum + sizeOf(path);
    return entry.isFile() ? sum + statSync(path).size : sum;
  }, 0);
}
