import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ZodType } from 'zod';
import type { Project } from '../../src/lib/core/project.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { evaluateResultSchema } from '../../src/lib/model/evaluate/result.js';
import { inspectionSchema } from '../../src/lib/model/inspect/inspection.js';
import { quantizeResultSchema } from '../../src/lib/model/quantize/result.js';
import { trainResultSchema } from '../../src/lib/model/train/result.js';
import { runCli } from '../support/cli.js';
import { temporaryFolder, toyProject } from './support.js';

let project: Project;
beforeAll(async () => {
  project = await toyProject();
});

async function json(argv: string[], schema: ZodType, code = 0) {
  const result = await runCli([...argv, '--json']);
  expect(result.stdout.trimEnd().split('\n')).toHaveLength(1);
  expect(schema.parse(result.json)).toEqual(result.json);
  expect(result.code).toBe(code);
  return result;
}

describe('aiot model', () => {
  it('trains, quantizes, evaluates, and inspects in sequence', async () => {
    const at = ['--project', project.dir];
    const trained = await json(['model', 'train', ...at], trainResultSchema);
    expect(trained.json).toMatchObject({
      model: 'toy',
      file: join(project.dir, 'build', 'model.float.tflite'),
    });
    await json(['model', 'quantize', ...at], quantizeResultSchema);
    await json(['model', 'evaluate', ...at], evaluateResultSchema);
    const { json: inspected } = await json(
      ['model', 'inspect', join(project.dir, 'build/model.int8.tflite')],
      inspectionSchema,
    );
    expect(inspected).toMatchObject({
      kind: 'tflite',
      bundle: null,
      parameters: 100 * 8 + 8 + 8 * 3 + 3,
      macs: 100 * 8 + 8 * 3,
    });
    const { file } = await bundleProject({ project });
    const { json: bundle } = await json(['model', 'inspect', file], inspectionSchema);
    expect(bundle).toMatchObject({ kind: 'aiot', bundle: { golden: { vectors: 9, passed: 9 } } });
  });

  it('prints only the result with --quiet', async () => {
    const at = ['--project', project.dir, '-q'];
    for (const command of ['train', 'quantize', 'evaluate']) {
      const { stdout, stderr, code } = await runCli(['model', command, ...at]);
      expect({ code, stderr }, command).toEqual({ code: 0, stderr: '' });
      expect(stdout.length, command).toBeGreaterThan(20);
      expect(stdout, command).not.toContain('Next:');
    }
    expect((await runCli(['data', 'check', ...at])).stdout).not.toContain('Next:');
  });

  it('prints human-readable metrics and the next command', async () => {
    const at = ['--project', project.dir];
    const report = join(project.dir, 'report.html');
    const train = await runCli(['model', 'train', ...at, '--report', report]);
    expect(train.stdout).toMatch(/^Model +toy, [\d.]+ KiB float, predicts calm, slow, fast\n/);
    expect(train.stdout).toContain(`Next: aiot model quantize --project ${project.dir}`);
    expect(train.stderr).toMatch(/^· epoch 1\/12 .*\n(· epoch .*\n)+report: .*\n$/);
    expect(train.stderr).not.toMatch(/\d %\)/);
    const { stdout } = await runCli(['model', 'quantize', ...at]);
    expect(stdout).toContain(`Next: aiot model evaluate --project ${project.dir}`);
    const file = join(project.dir, 'build', 'model.int8.tflite');
    expect(stdout).toContain(`aiot model inspect ${file}`);
    const evaluate = await runCli(['model', 'evaluate', ...at, '--report', report]);
    expect(evaluate.stdout).toContain('int8 (device)');
    expect(evaluate.stdout).toMatch(/Gate macroF1 +✓ [01]\.\d{3}, at least /);
    expect(evaluate.stdout).toMatch(/int8 \(device\) +[\d.]+ % +[01]\.\d{3} /);
    expect(evaluate.stdout).toContain(`run aiot model train --project ${project.dir} --folds 5`);
    expect(evaluate.stdout).toContain(`aiot model push --project ${project.dir}`);
    expect(evaluate.stdout).toContain(`aiot model inspect ${file}`);
    expect(evaluate.stderr).toBe(`report: ${report}\n`);
    expect(await readFile(report, 'utf8')).toMatch(
      /<h2>Gates<\/h2>.*arena: expected at most 64\.0 KiB, got [\d.]+ (Ki)?B</s,
    );
    const inspect = await runCli(['model', 'inspect', join(project.dir, 'build/model.int8.tflite')]);
    expect(inspect.stdout).toContain('FULLY_CONNECTED');
  });

  it('prints the metrics and exits with 6 if a gate fails', async () => {
    const text = await readFile(project.file, 'utf8');
    await writeFile(project.file, text.replace('64KiB', '64B'));
    const people = await runCli(['model', 'evaluate', '--project', project.dir]);
    expect(people.code).toBe(6);
    expect(people.stdout).toContain('int8 (device)');
    expect(people.stderr).toContain('AIOT_GATE_FAILED: arena: expected at most 64 B');
    const { json: value } = await json(
      ['model', 'evaluate', '--project', project.dir],
      evaluateResultSchema,
      6,
    );
    expect(value).toMatchObject({ passed: false, error: { code: 'AIOT_GATE_FAILED' } });
    await writeFile(project.file, text);
  });

  it.each([
    ['train', [], 'AIOT_PROJECT_NOT_FOUND', 4],
    ['quantize', [], 'AIOT_PROJECT_NOT_FOUND', 4],
    ['evaluate', [], 'AIOT_PROJECT_NOT_FOUND', 4],
    ['push', [], 'AIOT_PROJECT_NOT_FOUND', 4],
    ['train', ['--epochs', 'three'], 'AIOT_USAGE', 2],
  ])('%s %j is rejected outside a project', async (command, more, code, exit) => {
    const result = await runCli(['model', command, '--project', await temporaryFolder(), ...more, '--json']);
    expect(result.json).toMatchObject({ error: { code } });
    expect(result.code).toBe(exit);
  });

  it('push without a platform suggests aiot up', async () => {
    const result = await runCli(['model', 'push', '--project', project.dir, '--json']);
    expect(result.json).toMatchObject({
      error: { code: 'AIOT_CONTEXT_NOT_FOUND', next: 'To start a platform, run `aiot up`.' },
    });
    expect(result.code).toBe(4);
  });

  it.each([
    ['a missing file', null, 'AIOT_FILE_NOT_FOUND', 4],
    ['a file of an unknown format', 'hello', 'AIOT_BUNDLE_MALFORMED', 2],
    ['a file with only the TFLite identifier', '\0\0\0\0TFL3', 'AIOT_TFLITE_MALFORMED', 2],
  ])('inspect rejects %s', async (_name, content, code, exit) => {
    const file = join(await temporaryFolder(), 'model.bin');
    if (content !== null) await writeFile(file, content);
    const result = await runCli(['model', 'inspect', file, '--json']);
    expect(result.json).toMatchObject({ error: { code } });
    expect(result.code).toBe(exit);
  });
});
