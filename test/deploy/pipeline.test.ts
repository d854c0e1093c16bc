import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { checkDeployment } from '../../src/lib/deploy/index.js';
import { root, runCli } from '../support/cli.js';
import { loose } from './systems.js';

interface Artifact {
  name: string;
  path: string;
  raw?: { data: string };
  s3?: { key: string };
  from?: string;
  optional?: boolean;
}
interface Template {
  name: string;
  inputs?: { artifacts?: Artifact[] };
  outputs?: { artifacts?: Artifact[] };
  container?: { command: string[]; args: string[] };
  dag?: { tasks: { name: string; depends?: string; arguments?: { artifacts?: Artifact[] } }[] };
}

/** Runs the templates in their order as an executor would: artifacts in, the container's command, artifacts out; /pipeline is a folder here. */
async function runWorkflow(templates: Template[], dir: string): Promise<Map<string, number | null>> {
  const codes = new Map<string, number | null>();
  const store = (key: string) => join(dir, 'store', key);
  for (const task of templates.find(({ dag }) => dag)?.dag?.tasks ?? []) {
    if (task.depends?.split(' && ').some((need) => codes.get(need) !== 0)) continue;
    const template = templates.find(({ name }) => name === task.name)!;
    const work = join(dir, 'pods', task.name);
    const here = (path: string) => path.replace(/^\/pipeline/, work).replace(/^\/step/, join(work, '.step'));
    await mkdir(work, { recursive: true });
    for (const input of template.inputs?.artifacts ?? []) {
      await mkdir(dirname(here(input.path)), { recursive: true });
      const from = task.arguments?.artifacts?.find(({ name }) => name === input.name)?.from;
      const [, step, output] = /tasks\.([\w-]+)\.outputs\.artifacts\.([\w-]+)/.exec(from ?? '') ?? [];
      const key = step === undefined ? input.s3?.key : `${step}/${output}`;
      if (input.raw)
        await writeFile(
          here(input.path),
          input.raw.data.replaceAll('/pipeline/', `${work}/`).replaceAll("'/pipeline'", `'${work}'`),
        );
      else if (key !== undefined && existsSync(store(key)))
        await cp(store(key), here(input.path), { recursive: true });
      else if (!input.optional) throw new Error(`${task.name}: ${input.name} is missing`);
    }
    const [, ...words] = [...template.container!.command, ...template.container!.args];
    const { status } = spawnSync(process.execPath, words.map(here), { cwd: work, encoding: 'utf8' });
    codes.set(task.name, status);
    for (const { name, path, s3 } of template.outputs?.artifacts ?? []) {
      if (!existsSync(here(path))) continue;
      await cp(here(path), store(s3?.key ?? `${task.name}/${name}`), { recursive: true });
    }
  }
  return codes;
}

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

  it('has a template for each step, with what it needs, and a schedule where there is one', async () => {
    await cp(join(root, 'templates/motor-watch/aiot.yaml'), join(dir, 'project/aiot.yaml'));
    const file = join(dir, 'project/aiot.yaml');
    await writeFile(file, `${await readFile(file, 'utf8')}\npipeline: { on: { cron: "0 3 * * *" } }\n`);
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

  it('gives each step the files that it has in one process, and passes over what does not hold', async () => {
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
    const codes = await runWorkflow(await templates(), dir);
    // The gate of the fourth keeps the fifth from being run.
    expect(Object.fromEntries(codes)).toEqual({ first: 0, second: 0, third: 0, fourth: 6 });
    expect(await readFile(join(dir, 'store/second/more'), 'utf8')).toBe('made\nwords\n');
    expect(existsSync(join(dir, 'store/third/never'))).toBe(false);
    expect(JSON.parse(await readFile(join(dir, 'store/third/result'), 'utf8'))).toEqual({
      state: 'skipped',
      reason: 'first.good does not hold',
    });
  });

  it('refuses what Argo would take for its own', async () => {
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
