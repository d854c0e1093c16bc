import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageSources } from '../../src/lib/project/firmware/folder.js';
import { root } from '../support/cli.js';

const packageJson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

describe('the package', () => {
  it('holds the program, its manifest, the templates and the firmware, and nothing of the workshop', async () => {
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
        'dist/web/assets/licences.txt',
        'oclif.manifest.json',
        'package.json',
      ]),
    );
    if (existsSync(join(root, 'templates', 'har-imu')))
      expect(paths).toContain('templates/har-imu/aiot.yaml');
    const allowed =
      /^(firmware\/.*|dist\/.*\.js|dist\/index\.d\.ts|dist\/man\/aiot[\w-]*\.1|dist\/web\/(index\.html|assets\/[\w-]+\.(js|css|svg|txt))|templates\/.*|bin\/run\.js|docs\/(tutorials\/)?[\w-]+\.md|[^/]*\.(json|md)|LICENSE)$/;
    expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
    // 1341 files, 3.3 MB, unpacked 14.1 MB when this was written; and manual pages, which are made while packing: 210 of 0.4 MB.
    expect(paths.filter((path) => !path.startsWith('dist/man/')).length).toBeLessThan(1_500);
    expect(size).toBeLessThan(4e6);
    expect(unpackedSize).toBeLessThan(17e6);
    // What `aiot firmware init` copies: all of it.
    const sources = await packageSources();
    expect(sources.paths.length).toBeGreaterThan(250);
    expect(sources.paths.filter((path) => !paths.includes(`firmware/${path}`))).toEqual([]);
  });

  it('is made for the Node and under the licence that the README names', () => {
    expect(packageJson).toMatchObject({
      name: 'aiot',
      type: 'module',
      license: 'Apache-2.0',
      engines: { node: '>=20.19' },
    });
    expect(readFileSync(join(root, 'LICENSE'), 'utf8')).toContain('Apache License');
  });

  it('asks for no install script of a direct dependency, so that installing downloads packages and nothing else', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
    const scripted = Object.keys(packageJson.dependencies).filter(
      (name) => lock.packages[`node_modules/${name}`]?.hasInstallScript,
    );
    expect(scripted).toEqual([]);
  });
});
