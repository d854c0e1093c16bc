/**
 * Runs the examples of docs/how-to/library.md as a reader would: each is a separate program in the folder of a
 * project, and imports the package.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SimulatedChip } from '../../src/lib/flash/rom/chip.js';
import { serveChip } from '../../src/lib/flash/rom/serve.js';
import { root, runCli } from '../support/cli.js';

const page = readFileSync(join(root, 'docs/how-to/library.md'), 'utf8');
/** The examples, by heading. */
const examples = new Map(
  [...page.matchAll(/^## (.+)\n(?:(?!^## )[\s\S])*?```js\n([\s\S]*?)```/gm)].map(
    ([, title = '', code = '']) => [title, code],
  ),
);
const long = process.env.AIOT_LONG !== undefined;
const folder = mkdtempSync(join(tmpdir(), 'aiot-library-'));

beforeAll(async () => {
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/aiot'));
  const made = await runCli(['init', join(folder, 'pump'), '--template', 'motor-watch']);
  expect(made.code).toBe(0);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the example under a heading, and returns its output. */
async function typed(title: string, change = (code: string) => code) {
  const file = join(folder, `${title.toLowerCase().replaceAll(' ', '-')}.mjs`);
  writeFileSync(file, change(examples.get(title) ?? 'throw new Error("no such example")'));
  return await ended([file]);
}

async function ended(argv: string[]) {
  const child = spawn(process.execPath, argv, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const [code] = await once(child, 'close');
  return { code, output };
}

describe('an example in docs/how-to/library.md', () => {
  it('exists for each function', () => {
    const all = [...examples.values()].join('\n');
    const names = ['extract', 'train', 'quantize', 'evaluate', 'inspect', 'flash', 'startRollout'];
    expect(names.filter((name) => !all.includes(`await ${name}(`))).toEqual([]);
  });

  it('trains a model and reports each epoch', async () => {
    const { code, output } = await typed('Train');
    expect(output).toContain('epoch: 1 of 5 epochs');
    expect(output).toContain('epoch: 5 of 5 epochs');
    expect(code).toBe(0);
  }, 60_000);

  it('quantizes the trained model', async () => {
    const { code, output } = await typed('Quantize');
    expect(output).toMatch(/model\.int8\.tflite \d+/);
    expect(code).toBe(0);
  }, 60_000);

  it('evaluates the model and reports its gates', async () => {
    const { code, output } = await typed('Evaluate');
    expect(output).toMatch(/macroF1/);
    expect(code).toBe(0);
  }, 60_000);

  it('inspects the model file', async () => {
    const { code, output } = await typed('Inspect');
    expect(output).toContain('FULLY_CONNECTED');
    expect(code).toBe(0);
  }, 60_000);

  it('extracts a dataset', async () => {
    expect(await typed('Extract')).toMatchObject({
      code: 0,
      output: expect.stringMatching(/^50 recordings, \d+ samples in .*extracted\n$/),
    });
  }, 60_000);

  it('flashes a chip and reports the progress', async () => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    const served = await serveChip(chip, { port: 0 });
    try {
      const app = Buffer.alloc(0x3000, 0x5a);
      writeFileSync(join(folder, 'app.bin'), app);
      const { code, output } = await typed('Flash', (code) =>
        code
          .replace('socket://127.0.0.1:5555', served.address)
          .replace('app.bin@0x10000', 'app.bin@0x200000'),
      );
      expect(output).toMatch(/write .*app\.bin \d+ 12288/);
      expect(code).toBe(0);
      expect(Buffer.from(chip.flash.bytes.subarray(0x200000, 0x203000)).equals(app)).toBe(true);
    } finally {
      await served.close();
    }
  }, 60_000);

  it('shows how errors are reported', async () => {
    const { code, output } = await typed('Errors');
    expect(output).toMatch(/^AIOT_FILE_NOT_FOUND /);
    expect(code).toBe(0);
  });

  it.runIf(long)(
    'rolls out a model and follows the rollout',
    async () => {
      const aiot = async (...argv: string[]) => {
        const { code, output } = await ended([join(root, 'bin/run.js'), ...argv]);
        expect(code, output).toBe(0);
      };
      let device: ChildProcess | undefined;
      try {
        await aiot('up', '--detach', '--http-port', '0', '--mqtt-port', '0');
        await aiot('model', 'train', '--project', 'pump');
        await aiot('model', 'quantize', '--project', 'pump');
        await aiot('model', 'evaluate', '--project', 'pump');
        await aiot('model', 'push', '--project', 'pump');
        const fleet = [join(root, 'bin/run.js'), 'fleet', 'simulate', '--count', '2'];
        device = spawn(process.execPath, fleet, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });
        await once(device.stdout!, 'data');
        device.stdout!.resume();
        const { code, output } = await typed('Roll out');
        expect(output).toMatch(/(^|\n)done\n$/);
        expect(code).toBe(0);
      } finally {
        if (device) {
          device.kill('SIGINT');
          await once(device, 'exit');
        }
        await aiot('down');
      }
    },
    120_000,
  );
});

it('importing the package loads no heavy module and no dependency', () => {
  const seen = new Set<string>();
  const walk = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(file, 'utf8');
    for (const [, from = ''] of text.matchAll(/^(?:import|export) (?:[^;'"]* from )?"([^"]+)";/gm)) {
      expect(from).toMatch(/^(\.|node:)/);
      if (from.startsWith('.')) walk(join(dirname(file), from));
    }
  };
  walk(join(root, 'dist/index.js'));
  const bytes = [...seen].reduce((sum, file) => sum + statSync(file).size, 0);
  // The error catalogue makes up most of it.
  expect(bytes).toBeLessThan(250_000);
});

it.runIf(long)(
  'the published package includes types that TypeScript checks programs against',
  async () => {
    const consumer = mkdtempSync(join(tmpdir(), 'aiot-consumer-'));
    const run = (program: string, argv: string[], cwd: string) =>
      execFileSync(program, argv, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    try {
      run(process.execPath, [join(root, 'scripts/types.js')], root);
      const [{ filename }] = JSON.parse(
        run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', consumer], root),
      ) as [{ filename: string }];
      mkdirSync(join(consumer, 'node_modules/aiot'), { recursive: true });
      run('tar', ['xzf', filename, '-C', 'node_modules/aiot', '--strip-components=1'], consumer);
      for (const name of ['zod', '@types'])
        symlinkSync(join(root, 'node_modules', name), join(consumer, 'node_modules', name));
      for (const [title, code] of examples)
        writeFileSync(join(consumer, `${title.replaceAll(' ', '-')}.mts`), code);
      writeFileSync(
        join(consumer, 'wrong.mts'),
        "import { train } from 'aiot';\nawait train({ epochs: 'many' });\n",
      );
      const asked = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
      const files = [...examples.keys()].map((title) => `${title.replaceAll(' ', '-')}.mts`);
      const tsc = join(root, 'node_modules/typescript/bin/tsc');
      expect(run(process.execPath, [tsc, ...asked, ...files], consumer)).toBe('');
      expect(() => run(process.execPath, [tsc, ...asked, 'wrong.mts'], consumer)).toThrow();
    } finally {
      rmSync(consumer, { recursive: true, force: true });
    }
  },
  180_000,
);
