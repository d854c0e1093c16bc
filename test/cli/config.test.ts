import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import ConfigShow from '../../src/commands/config/show.js';
import { type ExplainInput, explainSettings } from '../../src/lib/cli/settings.js';
import { addContext } from '../../src/lib/core/contexts.js';
import { runCli } from '../support/cli.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-config-'));
});
afterEach(async () => {
  delete process.env.AIOT_PROJECT;
  await rm(folder, { recursive: true, force: true });
});

/** Maps each name to its value, source and location. */
async function explain(input: Partial<ExplainInput>) {
  const env = { AIOT_CONFIG_DIR: join(folder, 'config'), ...input.env };
  const { settings, unknown } = await explainSettings({ flags: {}, variables: [], ...input, env });
  const table = Object.fromEntries(
    settings.map(({ name, value, from, where }) => [name, [value, from, where]]),
  );
  return { table, unknown };
}

const yaml = `name: watch
stream:
  topic: motion
  fields:
    x: { unit: g }
signal: { rate: 100, window: 250, stride: 125 }
model:
  kind: mlp
  labels: { rest: [sitting], walk: [walking] }
  train: { epochs: 9 }
`;

describe('settings', () => {
  it('come from flags before the environment, and from the environment before defaults', async () => {
    const env = { AIOT_PROJECT: '/from/env' };
    expect((await explain({ flags: { project: '/from/flag' }, env })).table.project).toEqual([
      ...['/from/flag', 'flag', '--project'],
    ]);
    expect((await explain({ env })).table.project).toEqual(['/from/env', 'env', 'AIOT_PROJECT']);
    expect((await explain({})).table.project).toEqual(['.', 'default', 'built in']);
  });

  it('include project values with their line, and defaults marked as such', async () => {
    await writeFile(join(folder, 'aiot.yaml'), yaml);
    const { table } = await explain({ flags: { project: folder } });
    expect(table['model.train.epochs']).toEqual(['9', 'project', `${join(folder, 'aiot.yaml')}:10`]);
    expect(table['model.train.batch']).toEqual(['32', 'default', 'built in']);
    expect(table['model.labels.rest']).toEqual(['["sitting"]', 'project', `${join(folder, 'aiot.yaml')}:9`]);
  });

  it('include the current context’s addresses, with its token masked', async () => {
    const config = join(folder, 'config');
    await addContext('lab', { url: 'https://lab.example', token: 's3cret' }, { folder: config });
    await addContext('roof', { url: 'https://roof.example' }, { folder: config });
    const { table } = await explain({});
    expect(table.context).toEqual(['lab', 'context', join(config, 'contexts.json')]);
    expect(table.url).toEqual(['https://lab.example', 'context', 'context lab']);
    expect(table.token).toEqual(['••••••••', 'context', 'context lab']);
    expect((await explain({ env: { AIOT_CONTEXT: 'roof' } })).table.url?.[0]).toBe('https://roof.example');
  });

  it('include the environment variables of flags, and report unknown ones', async () => {
    const variables = [{ flag: 'http-port', variable: 'AIOT_HTTP_PORT', commands: ['up'] }];
    const env = { AIOT_HTTP_PORT: '0', AIOT_TOKEN: 's3cret', AIOT_HTPP_PORT: '1' };
    const { table, unknown } = await explain({ variables, env });
    expect(table['--http-port']).toEqual(['0', 'env', 'AIOT_HTTP_PORT']);
    expect(unknown).toEqual(['AIOT_HTPP_PORT']);
  });
});

describe('aiot config show', () => {
  it('prints settings that match their schema', async () => {
    await writeFile(join(folder, 'aiot.yaml'), yaml);
    const { json, code } = await runCli(['config', 'show', '--project', folder, '--json']);
    expect(code).toBe(0);
    const { settings } = ConfigShow.result.parse(json) as { settings: { name: string; from: string }[] };
    expect(settings[0]).toEqual({ name: 'project', value: folder, from: 'flag', where: '--project' });
    expect(settings).toContainEqual(expect.objectContaining({ name: 'signal.rate', from: 'project' }));
    process.env.AIOT_PROJECT = folder;
    expect((await runCli(['config', 'show'])).stdout).toMatch(/^project +\S+ +env +AIOT_PROJECT$/m);
  });

  it('reports an invalid project file with line and column', async () => {
    await writeFile(join(folder, 'aiot.yaml'), yaml.replace('rate: 100', 'rate: fast'));
    const { json, code } = await runCli(['config', 'show', '--project', folder, '--json']);
    expect(code).toBe(2);
    expect(json).toMatchObject({
      error: { code: 'AIOT_PROJECT_INVALID', message: expect.stringContaining(':6:11: signal.rate') },
    });
  });
});
