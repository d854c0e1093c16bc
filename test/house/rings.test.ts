import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TestModule } from 'vitest/node';
import { root } from '../support/cli.js';
import { closingLine, countsFile, realTestFiles, recordCounts } from '../support/real-tests-reporter.js';

const tests = join(root, 'test');

/** Programs on every machine with Node: a POSIX shell with its usual programs, and npm. */
const everywhere = new Set(['sh', 'bash', 'cat', 'mkfifo', 'npm', 'sleep', 'tar', 'true']);

/**
 * Returns the reasons why a text belongs to the second ring: `.venv`, `../shared`, or a program that a bare machine
 * lacks.
 */
function realPartsIn(text: string): string[] {
  const code = text.replace(/^ *(?:\/\/|\/?\*).*$/gm, '');
  const folders = [...code.matchAll(/\.venv\b|\.\.\/shared\b|'\.\.', 'shared'/g)].map(([found]) => found);
  const started =
    /(?:(?<![.\w])(?:spawn|spawnSync|execFile|execFileSync|exec|execSync)|promisify\(execFile\))\(\s*'([^' ]+)(?= [^']*'|'\s*[,)])/g;
  const programs = [...code.matchAll(started)].map(([, program = '']) => program);
  return [...folders, ...programs.filter((program) => !everywhere.has(program))];
}

/** Returns all real parts used by a test and its imports from `test/`, with the file that contains each. */
function realPartsOf(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  const imports = [...text.matchAll(/(?:\bfrom|\bimport\(?) ?'(\.[^']+)'/g)]
    .map(([, name = '']) => resolve(dirname(file), name).replace(/\.js$/, '.ts'))
    .filter((path) => path.startsWith(`${tests}/`) && existsSync(path) && /\.ts$/.test(path));
  return [
    ...realPartsIn(text).map((part) => `${file.slice(tests.length + 1)}: ${part}`),
    ...imports.flatMap((path) => realPartsOf(path, seen)),
  ];
}

describe('the first test ring', () => {
  it('needs only Node and npm: tests that need more are named *.real.test.ts', () => {
    const files = readdirSync(tests, { recursive: true, encoding: 'utf8' }).filter(
      (name) =>
        name.endsWith('.test.ts') && !name.endsWith('.real.test.ts') && name !== 'house/rings.test.ts',
    );
    expect(files.length).toBeGreaterThan(300);
    const found = files.flatMap((name) => {
      const parts = realPartsOf(join(tests, name));
      return parts.length > 0 ? [`${name} reaches ${[...new Set(parts)].join(', ')}`] : [];
    });
    expect(found).toEqual([]);
  });

  it.each([
    ["spawnSync('openssl', ['version'])", ['openssl']],
    ["await promisify(execFile)(\n  'python3',\n  ['-c', text])", ['python3']],
    ["execSync('curl -s x')", ['curl']],
    ["join(root, '.venv', 'streams')", ['.venv']],
    ["join(root, '..', 'shared', 'data')", ["'..', 'shared'"]],
    ["spawn('sh', ['-c', 'exit 1']); spawn(process.execPath, [])", []],
    ['// openssl made it: .venv', []],
  ])('detects what %s needs', (text, parts) => {
    expect(realPartsIn(text)).toEqual(parts);
  });
});

describe('the closing line of npm test', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'aiot-rings-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const module = (name: string, ...tests: string[]) =>
    ({
      moduleId: join(root, 'test', name),
      children: { allTests: () => tests.map((each) => ({ name: each })) },
    }) as unknown as TestModule;

  it('has a count for each file of the second ring', () => {
    const counts = JSON.parse(readFileSync(countsFile, 'utf8')) as Record<string, number>;
    // A new file gets its count when it is run: npm run test:real -- test/…
    expect(Object.keys(counts)).toEqual(realTestFiles());
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(0);
  });

  it('reports how many tests of the second ring were not run, and how to run them', () => {
    const file = join(folder, 'counts.json');
    const files = ['a.real.test.ts', 'room/b.real.test.ts'];
    recordCounts([module(files[0]!, 'one', 'two'), module(files[1]!, 'three')], file, files);
    expect(closingLine(file, files).replaceAll(/\s+/g, ' ').trim()).toBe(
      'Not run: 3 tests in 2 files that need real parts (brokers, databases, compilers, a browser, Python). ' +
        'To run them: npm run parts && npm run test:real',
    );
    // One file has an additional test, and the other lacks a part. Running one file keeps the count of the other.
    recordCounts([module(files[0]!, 'one', 'two', 'four')], file, files);
    recordCounts([module(files[1]!, 'needs kafka')], file, files);
    expect(closingLine(file, files)).toContain('Not run: 4 tests in 2 files');
    recordCounts([], file, files.slice(0, 1));
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ 'a.real.test.ts': 3 });
  });

  it('counts the files of the second ring, and no others', () => {
    mkdirSync(join(folder, 'room'));
    for (const name of ['room/a.real.test.ts', 'b.real.test.ts', 'c.test.ts'])
      writeFileSync(join(folder, name), '');
    expect(realTestFiles(folder)).toEqual(['b.real.test.ts', 'room/a.real.test.ts']);
  });
});

describe('the second test ring', () => {
  it('begins no tests after its time, names them, and keeps their number', () => {
    const counts = readFileSync(countsFile, 'utf8');
    const vitest = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'real'];
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...vitest, 'test/house/man.real.test.ts'],
      { cwd: root, encoding: 'utf8', timeout: 80_000, env: { ...process.env, AIOT_TESTS_UNTIL: '1' } },
    );
    expect(status, stdout + stderr).toBe(0);
    expect(stderr).toContain('skipped, no time left: the manual in mandoc and man\n');
    expect(stdout).toMatch(/Tests .*1 skipped/);
    expect(readFileSync(countsFile, 'utf8')).toBe(counts);
  });
});
