import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { loadProject } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { type Envelope, trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { verifyManifest } from '../../src/lib/formats/manifest/manifest.js';
import { boardMemory } from '../../src/lib/model/bundle/board-memory.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import { buildFiles, readEvaluation, readQuantization, readTraining } from '../../src/lib/model/files.js';
import { type PushClient, pushModel } from '../../src/lib/model/publish/push.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { toyCsv, toyProject } from './support.js';

const { privatePem } = generateKeyPair();

/** An in-memory registry whose first `conflicts` pushes lose a race. */
function registry(conflicts = 0) {
  const blobs = new Map<string, Uint8Array>();
  const pushed: Envelope[] = [];
  let version = 0;
  const versions: { version: number; digest: string | undefined }[] = [];
  const client = {
    trust: { get: async () => trustRootOf(publicKeyOf(privatePem)) },
    blobs: {
      put: async (digest: string, bytes: Uint8Array) => {
        blobs.set(digest, bytes);
        return { digest, bytes: bytes.length };
      },
    },
    models: {
      next: async () => ({ version: version + 1, sequence: version + 41 }),
      push: async (_name: string, envelope: Envelope) => {
        version++;
        if (version <= conflicts) {
          const { AiotError } = await import('../../src/lib/core/errors.js');
          throw new AiotError('AIOT_VERSION_CONFLICT', 'taken');
        }
        pushed.push(envelope);
        const { artifacts } = verifyManifest(envelope, trustRootOf(publicKeyOf(privatePem)));
        versions.unshift({ version, digest: artifacts[0]?.digest });
        return {};
      },
      versions: async (name: string) => {
        if (versions.length > 0) return versions;
        const { AiotError } = await import('../../src/lib/core/errors.js');
        throw new AiotError('AIOT_NOT_FOUND', `no model ${name}`);
      },
    },
  };
  return { client: client as unknown as PushClient, blobs, pushed };
}

describe('train, quantize, evaluate, push', () => {
  it('run in sequence, each on the output of the previous step', async () => {
    const project = await toyProject();
    const trained = await trainProject({ project });
    expect(trained).toMatchObject({ model: 'toy', epochs: 12, windows: { train: 99, validation: 33 } });
    const quantized = await quantizeProject({ project });
    expect(quantized.bytes).toBeLessThan(quantized.floatBytes);
    const evaluated = await evaluateProject({ project });
    expect(evaluated.passed).toBe(true);
    expect(evaluated.int8.macroF1).toBeGreaterThan(0.95);
    expect(evaluated.agreement).toBeGreaterThan(0.95);
    const { client, blobs, pushed } = registry(1);
    const result = await pushModel({ project, client, privatePem });
    expect(result).toMatchObject({ name: 'toy', version: 2, sequence: 42, sameAs: null });
    expect(await pushModel({ project, client, privatePem })).toMatchObject({ version: 3, sameAs: 2 });
    const manifest = verifyManifest(pushed[0], trustRootOf(publicKeyOf(privatePem)));
    expect(manifest).toMatchObject({ kind: 'model', version: 2, sequence: 42, floor: 0, expires: null });
    expect([...manifest.deviceTypes].sort()).toEqual(['virtual', 'pi', ...Object.keys(boardMemory)].sort());
    expect(manifest.artifacts).toEqual([{ name: 'model.aiot', digest: result.digest, bytes: result.bytes }]);
    const bundle = unpackBundle(blobs.get(result.digest)!);
    expect(bundle.info.metrics.int8).toMatchObject(evaluated.int8);
    expect(bundle.info.lineage.dataset.digest).toBe((await openDataset(project)).digest);
    const other = registry();
    await pushModel({ project, client: other.client, privatePem, deviceTypes: ['rp2040'] });
    const released = verifyManifest(other.pushed[0], trustRootOf(publicKeyOf(privatePem)));
    expect(released.deviceTypes).toEqual(['rp2040']);
    await expect(
      pushModel({ project, client: registry().client, privatePem, deviceTypes: ['rp2040', ''] }),
    ).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  });

  it('produce the same model for the same recordings, settings, and seed', async () => {
    const network = async (seed: number) => {
      const project = await toyProject((text) =>
        text.replace('seed: 8', `seed: ${seed}`).replace('epochs: 12', 'epochs: 2'),
      );
      return await readFile((await trainProject({ project })).file);
    };
    const [first, second, other] = [await network(3), await network(3), await network(4)];
    expect(first.equals(second)).toBe(true);
    expect(first.equals(other)).toBe(false);
  });

  it('train a convolutional model on raw windows', async () => {
    const project = await toyProject((text) =>
      text.replace('kind: mlp', 'kind: cnn1d').replace('[8]', '[6, 8]').replace('epochs: 12', 'epochs: 20'),
    );
    await trainProject({ project });
    await quantizeProject({ project });
    expect((await evaluateProject({ project })).int8.macroF1).toBeGreaterThan(0.9);
  });
});

describe('a model step', () => {
  it('requires the step that it builds on', async () => {
    const project = await toyProject();
    const missing = (next: string) =>
      expect.objectContaining({ code: 'AIOT_MODEL_NOT_BUILT', exit: 4, next });
    await expect(quantizeProject({ project })).rejects.toEqual(missing('Create it with `aiot model train`.'));
    await trainProject({ project });
    await expect(evaluateProject({ project })).rejects.toEqual(
      missing('Create it with `aiot model quantize`.'),
    );
    await quantizeProject({ project });
    const push = pushModel({ project, client: registry().client, privatePem });
    await expect(push).rejects.toEqual(missing('Create it with `aiot model evaluate`.'));
  });

  it('rejects recordings, labels, signal settings, or models changed since the previous step', async () => {
    const project = await toyProject();
    const stale = expect.objectContaining({ code: 'AIOT_MODEL_STALE', exit: 6 });
    await trainProject({ project });
    await quantizeProject({ project });
    const edited = async (from: string, to: string) => {
      const text = await readFile(project.file, 'utf8');
      await writeFile(project.file, text.replace(from, to));
      const changed = await loadProject(project.dir);
      await writeFile(project.file, text);
      return changed;
    };
    await expect(evaluateProject({ project: await edited('window: 50', 'window: 40') })).rejects.toEqual(
      stale,
    );
    await expect(
      evaluateProject({ project: await edited('calm: [calm]', 'calm: [calm, still]') }),
    ).rejects.toEqual(stale);
    await evaluateProject({ project });
    await trainProject({ project: await edited('seed: 8', 'seed: 4') });
    await expect(evaluateProject({ project })).rejects.toEqual(stale);
    const { client, blobs } = registry();
    // Otherwise, the old int8 model would get the lineage of the new training.
    await expect(pushModel({ project, client, privatePem })).rejects.toEqual(stale);
    await quantizeProject({ project });
    await expect(pushModel({ project, client, privatePem })).rejects.toEqual(stale);
    expect(blobs.size).toBe(0);
    await writeFile(join(project.dir, 'data', 'fast9.csv'), toyCsv('fast', 9));
    await expect(quantizeProject({ project })).rejects.toEqual(stale);
  });

  it('pushes nothing below a gate, and honors a limit relaxed afterward', async () => {
    const strict = await toyProject((text) => text.replace('arena: 64KiB', 'arena: 100B'));
    await trainProject({ project: strict });
    await quantizeProject({ project: strict });
    const { passed, error } = await evaluateProject({ project: strict });
    expect(passed).toBe(false);
    expect(error).toMatchObject({ code: 'AIOT_GATE_FAILED', exit: 6 });
    const { client, blobs } = registry();
    await expect(pushModel({ project: strict, client, privatePem })).rejects.toMatchObject({
      code: 'AIOT_GATE_FAILED',
    });
    expect(blobs.size).toBe(0);
    await writeFile(strict.file, (await readFile(strict.file, 'utf8')).replace('100B', '64KiB'));
    const project = await loadProject(strict.dir);
    await expect(pushModel({ project, client, privatePem })).resolves.toMatchObject({ version: 1 });
  });

  const takes = (labels: string[], count: number) =>
    Object.fromEntries(
      labels.flatMap((label) =>
        Array.from({ length: count }, (_, i) => [`${label}${i}.csv`, toyCsv(label, i)]),
      ),
    );
  it.each([
    ['no recordings', {}, 'AIOT_DATA_EMPTY'],
    ['one class', takes(['calm'], 4), 'AIOT_DATA_ONE_CLASS'],
    [
      'a label without a class',
      { ...takes(['calm', 'slow', 'fast'], 3), 'jump1.csv': toyCsv('fast', 8) },
      'AIOT_LABEL_UNKNOWN',
    ],
    ['too few recordings', takes(['calm', 'slow', 'fast'], 2), 'AIOT_DATA_TOO_FEW'],
    [
      'a cell that is not a number',
      { ...takes(['calm', 'slow', 'fast'], 3), 'calm7.csv': 'x,y\n1,2\nNaN,3\n' },
      'AIOT_FILE_MALFORMED',
    ],
    [
      'only recordings shorter than a window',
      Object.fromEntries(
        Object.keys(takes(['calm', 'slow', 'fast'], 3)).map((name, i) => [name, toyCsv('slow', i, 30)]),
      ),
      'AIOT_TRAINING_DATA_UNFIT',
    ],
  ])('refuses to train on %s, and writes nothing', async (_name, files, code) => {
    const project = await toyProject(undefined, files as Record<string, string>);
    await expect(trainProject({ project })).rejects.toMatchObject({ code });
    expect(await readdir(project.dir)).not.toContain('build');
  });

  it('rejects NaN in an in-memory dataset, naming its location', async () => {
    const project = await toyProject();
    const dataset = await openDataset(project);
    dataset.recordings[3]!.columns[1]![7] = Number.NaN;
    await expect(trainProject({ project, dataset })).rejects.toMatchObject({
      code: 'AIOT_TRAINING_DATA_UNFIT',
      message: `recording ${dataset.recordings[3]!.id}, field y, sample 8: expected a number, got NaN`,
    });
  });

  it('rejects a damaged model file', async () => {
    const project = await toyProject();
    await trainProject({ project });
    await writeFile(buildFiles(project).float, 'TFL?');
    await expect(quantizeProject({ project })).rejects.toMatchObject({ code: 'AIOT_TFLITE_MALFORMED' });
    await writeFile(buildFiles(project).training, '{}');
    await expect(quantizeProject({ project })).rejects.toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
    await rm(buildFiles(project).training);
  });

  it('rejects a step’s result file with a missing field, naming the field', async () => {
    const project = await toyProject();
    await trainProject({ project });
    await quantizeProject({ project });
    await evaluateProject({ project });
    const { training, quantization, evaluation } = buildFiles(project);
    for (const [file, members, step] of [
      [training, ['classes', 'standardization', 'split', 'lineage', 'network', 'digest'], 'train'],
      [quantization, ['digest'], 'quantize'],
      [evaluation, ['float', 'int8', 'voted', 'arenaBytes', 'digest'], 'evaluate'],
    ] as const) {
      const whole = JSON.parse(await readFile(file, 'utf8'));
      const read = { train: readTraining, quantize: readQuantization, evaluate: readEvaluation }[step];
      await expect(read(project)).resolves.toEqual(whole);
      for (const member of members) {
        await writeFile(file, JSON.stringify({ ...whole, [member]: undefined }));
        await expect(read(project)).rejects.toMatchObject({
          code: 'AIOT_FILE_MALFORMED',
          message: expect.stringContaining(`${file}: ${member}: `),
          next: `Create it with \`aiot model ${step}\`.`,
        });
      }
    }
  });
});
