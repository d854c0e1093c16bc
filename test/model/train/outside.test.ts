import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { loadProject } from '../../../src/lib/core/project.js';
import { parseCsv } from '../../../src/lib/formats/csv/parse.js';
import { writeTflite } from '../../../src/lib/formats/tflite/write.js';
import { evaluateProject } from '../../../src/lib/model/evaluate/evaluate-project.js';
import { readTraining } from '../../../src/lib/model/files.js';
import { quantizeProject } from '../../../src/lib/model/quantize/quantize-project.js';
import { trainModel } from '../../../src/lib/model/train/train-model.js';
import { trainProject } from '../../../src/lib/model/train/train-project.js';
import { temporaryFolder, toyProject } from '../support.js';
import { rowsCsv, rowsFolder } from './support.js';

/** Creates a project that is trained by an external program, given as the text of a script. */
async function withProgram(script: string, project?: { dir: string; file: string }) {
  const file = join(await temporaryFolder(), 'train.mjs');
  await writeFile(file, script);
  const own = project ?? (await toyProject());
  const text = await readFile(own.file, 'utf8');
  const command = `command: [${process.execPath}, ${file}]`;
  await writeFile(own.file, text.replace(/train: \{/, `train: { ${command}, `));
  return await loadProject(own.dir);
}

/** A program that records its inputs, and outputs the file `model`. */
function obedient(model: string, seen: string): string {
  return `import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
const folder = process.argv[2];
const task = JSON.parse(readFileSync(join(folder, 'task.json'), 'utf8'));
const [head, ...rows] = readFileSync(join(folder, task.train), 'utf8').trim().split('\\n');
console.log('reading', rows.length, 'rows');
const told = { task, head, rows: rows.length, files: readdirSync(folder), cwd: process.cwd() };
writeFileSync(${JSON.stringify(seen)}, JSON.stringify(told));
copyFileSync(${JSON.stringify(model)}, join(folder, task.model));
`;
}

/** A float .tflite file with one dense layer and a softmax. */
function linearModel(inputs: number, means: number[][]): Uint8Array {
  const weights = Float32Array.from(means.flat());
  const bias = Float32Array.from(means, (mean) => -mean.reduce((sum, x) => sum + x * x, 0) / 2);
  const outputs = means.length;
  return writeTflite({
    name: 'main',
    description: 'outside',
    tensors: [
      { name: 'x', shape: [1, inputs], type: 'float32' },
      { name: 'w', shape: [outputs, inputs], type: 'float32', data: weights },
      { name: 'b', shape: [outputs], type: 'float32', data: bias },
      { name: 'z', shape: [1, outputs], type: 'float32' },
      { name: 'p', shape: [1, outputs], type: 'float32' },
    ],
    operators: [
      {
        op: 'FULLY_CONNECTED',
        inputs: [0, 1, 2],
        outputs: [3],
        options: { activation: 'none', keepNumDims: false },
      },
      { op: 'SOFTMAX', inputs: [3], outputs: [4], options: { beta: 1 } },
    ],
    inputs: [0],
    outputs: [4],
  });
}

describe('an external training program', () => {
  it('gets standardized rows and the task, and its model passes all later steps', async () => {
    const folder = await temporaryFolder();
    const [model, seen] = [join(folder, 'model.tflite'), join(folder, 'seen.json')];
    // The model predicts the class with the nearest mean. The means are approximately known, because x is tilted one way or the other.
    const means = [0, 1.2, -1.2].map((x) => Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? x : 0)));
    await writeFile(model, linearModel(100, means));
    const project = await withProgram(obedient(model, seen));
    const steps: string[] = [];
    const result = await trainProject({ project, onStep: (text) => steps.push(text) });
    expect(steps).toEqual(['reading 99 rows']);
    expect(result).toMatchObject({ backend: `command ${process.execPath}`, output: 'classes' });
    expect(result.metrics.valAccuracy).toBeGreaterThan(0.95);
    const told = JSON.parse(await readFile(seen, 'utf8'));
    expect(told).toMatchObject({
      cwd: project.dir,
      rows: 99,
      task: {
        spec: 'aiot-train-task/1',
        inputShape: [100],
        output: { kind: 'classes', count: 3 },
        classes: ['calm', 'slow', 'fast'],
        epochs: 12,
        seed: 8,
      },
    });
    expect(told.head.split(',').slice(-2)).toEqual(['y[49]', 'label']);
    expect(told.files.sort()).toEqual(['task.json', 'train.csv', 'validation.csv']);
    await quantizeProject({ project });
    expect((await evaluateProject({ project })).int8.macroF1).toBeGreaterThan(0.9);
    expect(await readTraining(project)).toMatchObject({ bestEpoch: 1, history: { length: 1 } });
  });

  it('gets standardized inputs, and labels in their own unit, in train.csv', async () => {
    const copy = join(await temporaryFolder(), 'train.csv');
    const { dir, file } = await rowsFolder(
      rowsCsv({ label: (_, value) => (value + 100).toFixed(2) }),
      'name: pumps\nmodel: { output: value, train: { epochs: 1 } }\n',
    );
    const script = `import { copyFileSync } from 'node:fs'; copyFileSync(process.argv[2] + '/train.csv', ${JSON.stringify(copy)}); process.exit(3);`;
    await withProgram(script, { dir, file: join(dir, 'aiot.yaml') });
    await expect(trainModel({ project: dir, data: file })).rejects.toMatchObject({
      code: 'AIOT_TRAINING_COMMAND',
    });
    const { columns, data } = parseCsv(await readFile(copy), copy);
    expect(columns).toEqual(['current', 'pressure', 'label']);
    expect(data[0]!.reduce((sum, x) => sum + x, 0) / data[0]!.length).toBeCloseTo(0, 5);
    expect(Math.min(...data[2]!)).toBeGreaterThan(80);
  });

  it.each([
    [
      'fails',
      'console.error("no GPU"); process.exit(3);',
      'AIOT_TRAINING_COMMAND',
      /exited with code 3; its last lines of output:\n {2}no GPU/,
    ],
    [
      'leaves no file',
      '',
      'AIOT_TRAINING_COMMAND',
      /program \S+ \S+train\.mjs succeeded but wrote no model\.tflite to the given folder/,
    ],
    [
      'leaves an invalid model',
      `import { writeFileSync } from 'node:fs'; writeFileSync(process.argv[2] + '/model.tflite', 'hello');`,
      'AIOT_TFLITE_MALFORMED',
      /the model that \S+ \S+train\.mjs wrote: /,
    ],
    [
      'leaves a model with other inputs',
      `import { writeFileSync } from 'node:fs'; writeFileSync(process.argv[2] + '/model.tflite', Buffer.from('${Buffer.from(
        linearModel(4, [
          [1, 2, 3, 4],
          [0, 0, 0, 0],
        ]),
      ).toString('base64')}', 'base64'));`,
      'AIOT_MODEL_UNFIT',
      /expected one input of 100 numbers, got float32 \[1, 4\]/,
    ],
  ])('is reported if it %s, and nothing is written', async (_name, script, code, message) => {
    const project = await withProgram(script);
    await expect(trainProject({ project })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    await expect(readFile(join(project.dir, 'build/model.float.tflite'))).rejects.toThrow('ENOENT');
  });

  it('is not waited for after it exits, even if a child keeps its output open', async () => {
    const pid = join(await temporaryFolder(), 'pid');
    const project = await withProgram(`import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
const code = 'setTimeout(() => {}, 60_000)';
const child = spawn(process.execPath, ['-e', code], { stdio: 'inherit', detached: true });
child.unref();
writeFileSync(${JSON.stringify(pid)}, String(child.pid));
console.error('no GPU');
process.exitCode = 3;
`);
    const begun = performance.now();
    try {
      await expect(trainProject({ project })).rejects.toMatchObject({
        code: 'AIOT_TRAINING_COMMAND',
        message: expect.stringMatching(/exited with code 3; its last lines of output:\n {2}no GPU/),
      });
      expect(performance.now() - begun).toBeLessThan(30_000);
    } finally {
      process.kill(Number(await readFile(pid, 'utf8')));
    }
  }, 60_000);

  it('is reported if it does not exist', async () => {
    const project = await toyProject((text) =>
      text.replace('train: {', 'train: { command: [./no-such-program],'),
    );
    await expect(trainProject({ project })).rejects.toMatchObject({
      code: 'AIOT_TRAINING_COMMAND',
      message: expect.stringContaining('could not be started (ENOENT)'),
    });
  });

  it('is stopped together with its child processes', async () => {
    const pids = join(await temporaryFolder(), 'pids');
    const project = await withProgram(`import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
writeFileSync(${JSON.stringify(pids)}, process.pid + ' ' + child.pid);
console.log('started');
setInterval(() => {}, 1000);
`);
    const stop = new AbortController();
    const run = trainProject({
      project,
      signal: stop.signal,
      onStep: (text) => text === 'started' && stop.abort(new Error('Ctrl-C')),
    });
    await expect(run).rejects.toThrow('Ctrl-C');
    const running = (pid: number) => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    const started = (await readFile(pids, 'utf8')).split(' ').map(Number);
    for (let n = 0; n < 50 && started.some(running); n++) await sleep(50);
    expect(started.map(running)).toEqual([false, false]);
  });
});
