import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import ConfigExplain from '../../src/commands/config/explain.js';
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

/** name → value, from, where */
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

describe('where a setting comes from', () => {
  it('flag wins over environment, environment over the default', async () => {
    const env = { AIOT_PROJECT: '/from/env' };
    expect((await explain({ flags: { project: '/from/flag' }, env })).table.project).toEqual([
      ...['/from/flag', 'flag', '--project'],
    ]);
    expect((await explain({ env })).table.project).toEqual(['/from/env', 'env', 'AIOT_PROJECT']);
    expect((await explain({})).table.project).toEqual(['.', 'default', 'built in']);
  });

  it('a project’s values come with their line, its defaults as such', async () => {
    await writeFile(join(folder, 'aiot.yaml'), yaml);
    const { table } = await explain({ flags: { project: folder } });
    expect(table['model.train.epochs']).toEqual(['9', 'project', `${join(folder, 'aiot.yaml')}:10`]);
    expect(table['model.train.batch']).toEqual(['32', 'default', 'built in']);
    expect(table['model.labels.rest']).toEqual(['["sitting"]', 'project', `${join(folder, 'aiot.yaml')}:9`]);
  });

  it('the context in use gives its addresses, and its token masked', async () => {
    const config = join(folder, 'config');
    await addContext('lab', { url: 'https://lab.example', token: 's3cret' }, { folder: config });
    await addContext('roof', { url: 'https://roof.example' }, { folder: config });
    const { table } = await explain({});
    expect(table.context).toEqual(['lab', 'context', join(config, 'contexts.json')]);
    expect(table.url).toEqual(['https://lab.example', 'context', 'context lab']);
    expect(table.token).toEqual(['••••••••', 'context', 'context lab']);
    expect((await explain({ env: { AIOT_CONTEXT: 'roof' } })).table.url?.[0]).toBe('https://roof.example');
  });

  it('a variable of any command’s flag is told, secrets masked, and one that means nothing is named', async () => {
    const variables = [{ flag: 'http-port', variable: 'AIOT_HTTP_PORT', commands: ['up'] }];
    const env = { AIOT_HTTP_PORT: '0', AIOT_TOKEN: 's3cret', AIOT_HTPP_PORT: '1' };
    const { table, unknown } = await explain({ variables, env });
    expect(table['--http-port']).toEqual(['0', 'env', 'AIOT_HTTP_PORT']);
    expect(unknown).toEqual(['AIOT_HTPP_PORT']);
  });
});

describe('aiot config explain', () => {
  it('prints settings that fit their schema', async () => {
    await writeFile(join(folder, 'aiot.yaml'), yaml);
    const { json, code } = await runCli(['config', 'explain', '--project', folder, '--json']);
    expect(code).toBe(0);
    const { settings } = ConfigExplain.result.parse(json) as { settings: { name: string; from: string }[] };
    expect(settings[0]).toEqual({ name: 'project', value: folder, from: 'flag', where: '--project' });
    expect(settings).toContainEqual(expect.objectContaining({ name: 'signal.rate', from: 'project' }));
    process.env.AIOT_PROJECT = folder;
    expect((await runCli(['config', 'explain'])).stdout).toMatch(/^project +\S+ +env +AIOT_PROJECT$/m);
  });

  it('tells of a project file that is wrong as every command does', async () => {
    await writeFile(join(folder, 'aiot.yaml'), yaml.replace('rate: 100', 'rate: fast'));
    const { json, code } = await runCli(['config', 'explain', '--project', folder, '--json']);
    expect(code).toBe(2);
    expect(json).toMatchObject({
      error: { code: 'AIOT_PROJECT_INVALID', message: expect.stringContaining(':6:11: signal.rate') },
    });
  });
});
