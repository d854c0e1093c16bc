import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { checkDeployment } from '../../src/lib/deploy/check/check.js';
import { root, runCli } from '../support/cli.js';
import { folderStore, runWorkflow, type Template } from '../support/workflow-runner.js';
import { loose } from './systems.js';

describe('aiot pipeline render --target argo', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-argo-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
  const render = (project: string, ...more: string[]) =>
    runCli([
      'pipeline',
      'render',
      '--target',
      'argo',
      '--project',
      project,
      '--out',
      join(dir, 'argo'),
      '--json',
      ...more,
    ]);
  const templates = async () =>
    (
      parse(await readFile(join(dir, 'argo/workflow-template.yaml'), 'utf8'), { maxAliasCount: -1 }) as {
        spec: { templates: Template[] };
      }
    ).spec.templates;

  it('overwrites an edited file only with --force', async () => {
    await cp(join(root, 'templates/motor-watch/aiot.yaml'), join(dir, 'project/aiot.yaml'));
    const project = join(dir, 'project');
    await render(project);
    const file = join(dir, 'argo/README.md');
    const text = await readFile(file, 'utf8');
    await writeFile(file, `${text}my notes\n`);
    const refused = await render(project);
    expect([refused.code, refused.json]).toMatchObject([6, { error: { code: 'AIOT_DEPLOY_EDITED' } }]);
    expect(await readFile(file, 'utf8')).toMatch(/my notes/);
    expect((await render(project, '--force')).code).toBe(0);
    expect(await readFile(file, 'utf8')).toBe(text);
  });

  it('writes a template for each step with its requirements, and a schedule if there is one', async () => {
    await cp(join(root, 'templates/motor-watch/aiot.yaml'), join(dir, 'project/aiot.yaml'));
    const file = join(dir, 'project/aiot.yaml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/^pipeline:.*$/m, '$&\n  on: { cron: "0 3 * * *" }'));
    const { json, code } = await render(join(dir, 'project'));
    expect([code, json]).toMatchObject([0, { target: 'argo', project: 'motor-watch' }]);
    const all = await templates();
    expect(all.map(({ name }) => name)).toEqual([
      'pipeline',
      'extract',
      'drift',
      'train',
      'quantize',
      'evaluate',
      'push',
      'rollout',
    ]);
    for (const { container } of all.slice(1))
      expect(container?.command).toEqual(['/nodejs/bin/node', '/step/step.mjs']);
    const push = all.find(({ name }) => name === 'push');
    expect(push?.outputs?.artifacts).toContainEqual(
      expect.objectContaining({
        name: 'kept-reference',
        path: '/pipeline/data',
        s3: { key: 'pipeline/motor-watch/kept/reference' },
      }),
    );
    const cron = parse(await readFile(join(dir, 'argo/cron-workflow.yaml'), 'utf8')) as { spec: object };
    expect(cron.spec).toMatchObject({
      schedules: ['0 3 * * *'],
      workflowSpec: { workflowTemplateRef: { name: 'pipeline' } },
    });
    expect((await checkDeployment(join(dir, 'argo'))).findings).toEqual([]);
  });

  it('gives each step the same files as a local run, and skips steps whose condition is false', async () => {
    const project = join(dir, 'project');
    await mkdir(project);
    const program = (code: string) => `[node, -e, ${JSON.stringify(code)}]`;
    await writeFile(
      join(project, 'aiot.yaml'),
      `name: own
pipeline:
  steps:
    - name: first
      run: ${program("require('fs').writeFileSync('out.txt', 'made\\n'); console.log(JSON.stringify({ good: 3 }))")}
      out: { made: out.txt }
    - name: second
      run: ${program("const t = require('fs').readFileSync('in.txt', 'utf8'); require('fs').writeFileSync('more.txt', t + require('fs').readFileSync('words.txt', 'utf8')); console.log('{}')")}
      in: { in.txt: first.made, words.txt: words.txt }
      out: { more: more.txt }
      when: first.good > 2
    - name: third
      run: ${program("require('fs').writeFileSync('never.txt', '')")}
      in: { x: second.more }
      out: { never: never.txt }
      when: first.good > 5
    - name: fourth
      run: ${program('process.exitCode = 6')}
      needs: [third]
    - name: fifth
      run: ${program('0')}
      needs: [fourth]
`,
    );
    await writeFile(join(project, 'words.txt'), 'words\n');
    expect((await render(project)).code).toBe(0);
    const codes = await runWorkflow({
      templates: await templates(),
      dir,
      store: folderStore(join(dir, 'store')),
    });
    // The failed gate of the fourth step keeps the fifth from running.
    expect(Object.fromEntries(codes)).toEqual({ first: 0, second: 0, third: 0, fourth: 6 });
    expect(await readFile(join(dir, 'store/second/more'), 'utf8')).toBe('made\nwords\n');
    expect(existsSync(join(dir, 'store/third/never'))).toBe(false);
    expect(JSON.parse(await readFile(join(dir, 'store/third/result'), 'utf8'))).toEqual({
      state: 'skipped',
      reason: 'first.good does not hold',
    });
  });

  it('rejects text that Argo would interpret as a template', async () => {
    const project = join(dir, 'project');
    await mkdir(project);
    await writeFile(
      join(project, 'aiot.yaml'),
      "name: own\npipeline: { steps: [{ name: a, run: [echo, '{{workflow.name}}'] }] }\n",
    );
    const { code, json } = await render(project);
    expect([code, loose(json).error.code]).toEqual([2, 'AIOT_USAGE']);
    expect(loose(json).error.message).toContain('{{workflow.name}}');
  });
});
