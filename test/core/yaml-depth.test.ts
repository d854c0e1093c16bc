import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { deepestYaml, parseYaml, tooDeepYaml } from '../../src/lib/core/yaml.js';

const deep = 20_000;
const indented = (levels: number) =>
  Array.from({ length: levels }, (_, level) => `${' '.repeat(level)}a:`).join('\n');

describe('YAML nesting depth', () => {
  it.each([
    ['brackets', `a: ${'['.repeat(deep)}`],
    ['brackets on separate lines', '[\n'.repeat(deep)],
    ['braces', `${'{a: '.repeat(deep)}`],
    ['lists on one line', `${'- '.repeat(deep)}x`],
    ['maps on one line', `routes:\n  a: ${'here: '.repeat(deep)}`],
    ['nested keys', '? '.repeat(deep)],
    ['indented maps', indented(2000)],
    ['indented lists', Array.from({ length: 300 }, (_, level) => `${' '.repeat(level)}- - - x`).join('\n')],
  ])('is limited: %s', (_, text) => {
    expect(() => parseYaml(text, 'a.yaml', z.unknown(), { code: 'AIOT_PROJECT_INVALID' })).toThrow(
      expect.objectContaining({
        code: 'AIOT_PROJECT_INVALID',
        message: expect.stringMatching(/^a\.yaml:\d+:1: nested deeper than 200 levels$/),
      }),
    );
  });

  it('is accepted in ordinary documents of any length', () => {
    const list = Array.from({ length: 5000 }, (_, i) => `- {name: "a: b: c", at: ${i}, with: [1, [2, 3]]}`);
    const maps = Array.from({ length: 5000 }, (_, i) => `key-${i}:\n  - - x\n    y: z`);
    const json = JSON.stringify(Object.fromEntries(maps.map((_, i) => [`k${i}`, [i, { a: 'b: c' }]])));
    for (const text of [list.join('\n'), maps.join('\n'), json, json.replaceAll(':', ': ')])
      expect(tooDeepYaml(text)).toBeNull();
    expect(tooDeepYaml('['.repeat(deepestYaml))).toBeNull();
    expect(tooDeepYaml(`x\n${'['.repeat(deepestYaml + 1)}`)).toBe(2);
  });
});
