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
import { afterEach, describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { realTests } from '../support/real-tests-reporter.js';

const tests = join(root, 'test');

/** What a machine has that has Node: a POSIX shell with its usual programs, and npm. */
const everywhere = new Set(['sh', 'bash', 'cat', 'mkfifo', 'npm', 'sleep', 'tar', 'true']);

/** Why a text belongs to the second ring: `.venv`, `../shared`, or a program that a bare machine lacks. */
function realPartsIn(text: string): string[] {
  const code = text.replace(/^ *(?:\/\/|\/?\*).*$/gm, '');
  const folders = [...code.matchAll(/\.venv\b|\.\.\/shared\b|'\.\.', 'shared'/g)].map(([found]) => found);
  const started =
    /(?:(?<![.\w])(?:spawn|spawnSync|execFile|execFileSync|exec|execSync)|promisify\(execFile\))\(\s*'([^' ]+)(?= [^']*'|'\s*[,)])/g;
  const programs = [...code.matchAll(started)].map(([, program = '']) => program);
  return [...folders, ...programs.filter((program) => !everywhere.has(program))];
}

/** All that is real in a test and in what it imports of `test/`, with the file that has it. */
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

describe('the first ring', () => {
  it('needs Node and npm alone: what starts another program or reads beside the repository is named *.real.test.ts', () => {
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
  ])('sees what %s needs', (text, parts) => {
    expect(realPartsIn(text)).toEqual(parts);
  });
});

describe('the closing line of npm test', () => {
  let folder = '';
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('counts the tests that the second ring declares', () => {
    folder = mkdtempSync(join(tmpdir(), 'aiot-rings-'));
    mkdirSync(join(folder, 'room'));
    writeFileSync(
      join(folder, 'room/a.real.test.ts'),
      "it('one', () => {});\n  it.each([1, 2])('two', () => {});\n  it.runIf(true)(\n'three', () => {});\n",
    );
    writeFileSync(join(folder, 'b.real.test.ts'), "describe('x', () => {\n  it('four', () => {});\n});\n");
    writeFileSync(join(folder, 'c.test.ts'), "it('not this one', () => {});\n");
    expect(realTests(folder)).toEqual({ tests: 4, files: 2 });
  });
});
