import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { slowPatterns, stuckAt } from '../../scripts/patterns.js';

// `npm run lint` checks everything in src and web, which takes half a minute.

it('the pattern check detects a pattern whose matching time doubles with each character', () => {
  expect(stuckAt(/^(\s*(#.*)?\n?)*$/)).toBeDefined();
  expect(stuckAt(/^(a+)+$/)).toBeDefined();
  expect(stuckAt(/^[^\s]+@[^\s]+$/)).toBeUndefined();
});

it('the pattern check locates slow patterns in the sources, and counts all patterns with repetition', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-patterns-'));
  try {
    writeFileSync(join(folder, 'a.ts'), 'export const plain = /^a/;\nexport const quick = /a+b/;\n');
    writeFileSync(join(folder, 'b.tsx'), '\nexport const slow = /^(a+)+$/;\n');
    const { patterns, stuck } = slowPatterns([folder]);
    expect(patterns).toBe(2);
    expect(stuck).toEqual([expect.stringMatching(/b\.tsx:2: \/\^\(a\+\)\+\$\/ at "/)]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
