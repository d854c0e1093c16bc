import { describe, expect, it } from 'vitest';
import { controlFile, unitText } from '../../scripts/package/deb.js';
import { limits, refuseGrowth } from '../../scripts/package/limits.js';
import { root, runCli } from '../support/cli.js';

describe('the Debian package', () => {
  it('contains the service that aiot platform service install writes, with its own Node', async () => {
    const { json } = await runCli([
      'platform',
      'service',
      'install',
      '--user',
      'dynamic',
      '--dry-run',
      '--json',
    ]);
    const { unit } = json as { unit: string };
    const there = unit
      .replaceAll(process.execPath, '/usr/lib/aiot/node')
      .replaceAll(root, '/usr/lib/aiot')
      // The default settings of the guide's services, which are not started.
      .replace(/ --compat-ports \S+ --compat-max-rows \d+/, '')
      // These lines exist only for a checkout below a home folder.
      .replaceAll(/^BindReadOnlyPaths=.*\n/gm, '');
    expect(await unitText(root)).toBe(there);
  });

  it('has the fields that deb-control(5) requires', () => {
    const text = controlFile({ version: '1.2.3', architecture: 'arm64', maintainer: 'A <a@b>', kib: 7 });
    expect(text).toMatch(
      /^Package: aiot\nVersion: 1\.2\.3\nArchitecture: arm64\nMaintainer: A <a@b>\nInstalled-Size: 7\n/,
    );
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });
});

describe('package size limits', () => {
  const made = { name: 'aiot', ...limits };

  it('reject growth beyond them, and report by how much', () => {
    expect(() => refuseGrowth(made, false)).not.toThrow();
    expect(() => refuseGrowth({ ...made, files: limits.files + 1 }, true)).toThrow(
      `aiot: files ${limits.files + 1}, at most ${limits.files}`,
    );
    expect(() => refuseGrowth({ ...made, deb: limits.deb + 1 }, false)).toThrow('deb');
  });

  it('ignore the archive size if compression is weak', () => {
    expect(() => refuseGrowth({ ...made, archive: limits.archive * 2 }, true)).not.toThrow();
  });
});
