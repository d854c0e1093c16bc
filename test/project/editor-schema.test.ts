import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { initProject } from '../../src/lib/project/init.js';
import { root } from '../support/cli.js';

const templates = join(root, 'templates');
// Strict, except for draft 7 tuples with minItems and maxItems, which Ajv's strict mode rejects.
const ajv = new Ajv({ allErrors: true, strict: true, strictTuples: false, allowUnionTypes: true });
const schema = JSON.parse(readFileSync(join(templates, 'aiot.schema.json'), 'utf8'));
const validate = ajv.compile(schema);

const files = readdirSync(templates, { recursive: true })
  .map(String)
  .filter((path) => /[\\/]aiot(\.[\w-]+)?\.yaml$/.test(path));

describe('the editor schema of aiot.yaml in Ajv', () => {
  it.each(files)('accepts templates/%s, and detects a misspelled field in it', (path) => {
    const project = parse(readFileSync(join(templates, path), 'utf8'));
    expect(validate(project), JSON.stringify(validate.errors)).toBe(true);
    expect(validate({ ...project, nmae: 'x' })).toBe(false);
    expect(validate({ ...project, model: { ...project.model, kinds: 'mlp' } })).toBe(false);
    expect(validate({ ...project, name: undefined, model: {} })).toBe(false);
  });

  it.each([
    ['a missing name', {}],
    ['text in place of a number', { name: 'a', signal: { rate: 'fast', window: 1, stride: 1 } }],
    ['an unknown kind', { name: 'a', model: { kind: 'lstm' } }],
    ['a name with a space', { name: 'a b' }],
    ['a gate above 1', { name: 'a', model: { accept: { macroF1: 95 } } }],
    ['an incomplete range', { name: 'a', stream: { topic: 't', fields: { x: { unit: 'g', range: [1] } } } }],
    [
      'a layer of an unknown type',
      { name: 'a', model: { kind: 'layers', layers: [{ type: 'dens', units: 3 }] } },
    ],
    [
      'a step whose program is not a list',
      { name: 'a', pipeline: { steps: { clean: { run: 'clean.sh' } } } },
    ],
    ['a misspelled field of a step', { name: 'a', pipeline: { steps: { train: { retry: 3 } } } }],
  ])('rejects %s', (_, project) => {
    expect(validate(project)).toBe(false);
  });

  it.each([
    [{ train: null, evaluate: false, clean: { run: ['clean', '--all'], out: { rows: 'rows.csv' } } }],
    [['extract', { name: 'clean', run: ['clean'] }, 'train']],
  ])('accepts steps by name and in order', (steps) => {
    expect(validate({ name: 'a', pipeline: { steps } }), JSON.stringify(validate.errors)).toBe(true);
  });

  it('uses the descriptions from docs/reference/project.md', () => {
    const { rate, lowpass } = schema.properties.signal.properties;
    expect(rate.description).toBe('Incoming samples per second, Hz (required)');
    expect(lowpass.description).toContain('below half the rate');
  });

  it('is found at the path in the first line of aiot.yaml, in the package and in a new project', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-schema-'));
    try {
      const { dir, files: made } = await initProject({ dir: join(folder, 'watch'), template: 'iot-kit' });
      expect(made).toContain('aiot.schema.json');
      for (const file of [join(dir, 'aiot.yaml'), join(templates, 'iot-kit', 'aiot.yaml')]) {
        const [line = ''] = (await readFile(file, 'utf8')).split('\n');
        const [, path = ''] = /^# yaml-language-server: \$schema=(\S+)$/.exec(line) ?? [];
        expect(JSON.parse(await readFile(resolve(dirname(file), path), 'utf8'))).toEqual(schema);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
