import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';

const source = join(root, 'src');

it.each<[what: string, pattern: RegExp, only: string[]]>([
  ['child processes', /'node:child_process'/, ['lib/core/process.ts']],
  ['numbers in hex', /`0x\$\{[^}`]*toString\(16\)/, ['lib/core/figures.ts']],
  ['promises settled from outside', /Promise\.withResolvers/, ['lib/core/tasks.ts']],
  ["Prometheus' text format", /# HELP \$\{/, ['lib/core/prometheus.ts']],
  ['the Fourier transform', /function create(Fft|ComplexFourier)\b/, ['lib/signal/fourier.ts']],
])('the sources contain one implementation of %s', async (_what, pattern, only) => {
  const files = (await readdir(source, { recursive: true })).filter((name) => name.endsWith('.ts'));
  const found: string[] = [];
  for (const file of files) if (pattern.test(await readFile(join(source, file), 'utf8'))) found.push(file);
  expect(found.sort()).toEqual(only);
});
