import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { installed, isAllowed, missingIn, verdictOf, withoutDevelopment } from '../../scripts/ci/supply.js';
import { root } from '../support/cli.js';

const packages = installed(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')));

describe('packages shipped with aiot', () => {
  it('all have a redistributable license', () => {
    expect(packages.length).toBeGreaterThan(100);
    expect(packages.filter(({ name, licence }) => !isAllowed(name, licence))).toEqual([]);
  });

  it('include development packages bundled into aiot, and no others', () => {
    const names = packages.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['preact', 'uplot', '@litertjs/core', '@mediapipe/face_detection', 'fastify']),
    );
    expect(names).not.toContain('vitest');
  });

  it.each([
    ['x', 'GPL-3.0-only', false],
    ['x', '', false],
    ['x', 'LGPL-3.0-or-later', false],
    ['@img/sharp-libvips-linux-x64', 'LGPL-3.0-or-later', true],
    ['x', '(MIT OR GPL-2.0-only)', true],
    ['x', 'MIT AND GPL-2.0-only', false],
    ['x', 'SEE LICENSE IN LICENSE.txt', false],
  ])('are redistributable: %s under "%s" is %s', (name, licence, expected) => {
    expect(isAllowed(name, licence)).toBe(expected);
  });

  it('are reported if the bill of materials omits them', () => {
    const named = packages.map(({ name, version }) => ({ name, version }));
    expect(missingIn({ components: named }, packages)).toEqual([]);
    expect(missingIn({ components: named.slice(1) }, packages)).toContainEqual(packages[0]);
  });

  it('stay in a bill of materials without development-only packages', () => {
    const development = [{ name: 'cdx:npm:package:development', value: 'true' }];
    const bom = withoutDevelopment({
      bomFormat: 'CycloneDX',
      components: [
        { 'bom-ref': 'a@1', name: 'a', version: '1', properties: [] },
        { 'bom-ref': 'b@1', name: 'b', version: '1', properties: development },
        { 'bom-ref': 'c@1', group: '@litertjs', name: 'core', version: '1', properties: development },
      ],
      dependencies: [{ ref: 'a@1', dependsOn: ['b@1'] }, { ref: 'b@1' }],
    });
    expect(bom).toEqual({
      bomFormat: 'CycloneDX',
      components: [
        { 'bom-ref': 'a@1', name: 'a', version: '1', properties: [] },
        { 'bom-ref': 'c@1', group: '@litertjs', name: 'core', version: '1', properties: development },
      ],
      dependencies: [{ ref: 'a@1', dependsOn: [] }],
    });
  });

  it.each([
    [
      { statusCode: 405, message: '405 Method Not Allowed' },
      true,
      'NOT audited: the registry has no audit endpoint (405)',
    ],
    [{ message: 'request to https://… failed' }, false, 'NOT audited: request to https://… failed'],
    [{}, false, 'NOT audited: npm audit did not respond'],
    [
      {
        vulnerabilities: {
          yaml: { severity: 'low', nodes: ['node_modules/yaml'] },
          vitest: { severity: 'critical', nodes: ['node_modules/vitest'] },
        },
      },
      true,
      'audited: 1 packages with advisories, 0 high, 0 critical',
    ],
    [
      { vulnerabilities: { uplot: { severity: 'high', nodes: ['node_modules/uplot'] } } },
      false,
      'audited: 1 packages with advisories, 1 high, 0 critical',
    ],
  ])('are audited, or reported as not audited: %j', (answer, ok, said) => {
    expect(verdictOf(answer, packages)).toEqual({ ok, said });
  });
});
