import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runOnCluster } from '../../src/lib/deploy/argo.js';
import type { RunRecord } from '../../src/lib/pipeline/run/record.js';
import { type RunResult, runResultSchema } from '../../src/lib/pipeline/run/result.js';
import { cancelPipeline, pipelineStatus, resumePipeline } from '../../src/lib/pipeline/status.js';
import { type ArgoServer, type Fault, startArgo } from '../support/argo.js';
import { makeCertificates } from '../support/certificates.js';
import { runCli } from '../support/cli.js';
import { ok, refusal } from '../support/up.js';
import { projectOf, tidyProjects } from './project.js';

tidyProjects();

const token = 'not-a-secret';
const say = (value: object) => JSON.stringify(`console.log(JSON.stringify(${JSON.stringify(value)}))`);

/**
 * Steps that take no time. The first produces an output, the second uses it and is a gate that opens when a file
 * next to the project exists, and another step follows it.
 */
async function project(): Promise<{ dir: string; gate: string }> {
  const dir = await projectOf({});
  const gate = join(dir, 'open');
  const judge = `if (!require('fs').existsSync(${JSON.stringify(gate)})) { console.error('too sour'); process.exitCode = 6; }`;
  await writeFile(
    join(dir, 'aiot.yaml'),
    `name: juice
pipeline:
  steps:
    - { name: press, run: [node, -e, ${JSON.stringify("require('fs').writeFileSync('juice.txt', 'apple'); console.error('pressed')")}], out: { juice: juice.txt } }
    - { name: taste, run: [node, -e, ${JSON.stringify(judge)}], in: { juice.txt: press.juice }, gate: taste }
    - { name: ship, run: [node, -e, ${say({ name: 'juice', version: 1, digest: 'sha256:0' })}], needs: [taste], retries: 1 }
    - { name: idle, run: [node, -e, ${say({ skipped: 'nobody is thirsty' })}], needs: [ship] }
`,
  );
  return { dir, gate };
}

const states = ({ steps }: Pick<RunResult, 'steps'>) => steps.map(({ name, state }) => `${name} ${state}`);

describe('aiot pipeline run --engine argo', () => {
  let dir: string;
  let gate: string;
  let argo: ArgoServer;
  beforeEach(async () => {
    ({ dir, gate } = await project());
    argo = await startArgo({ dir: join(dir, 'cluster'), token });
    process.env.AIOT_ARGO_TOKEN = token;
  });
  afterEach(async () => {
    delete process.env.AIOT_ARGO_TOKEN;
    await argo.stop();
  });
  const argv = (...more: string[]) => {
    const where = ['--engine', 'argo', '--argo-server', argo.url];
    return ['pipeline', 'run', '--project', dir, ...where, ...more];
  };
  const submitted = () => argo.calls.filter((call) => call.endsWith('/submit')).length;
  const open = () => writeFile(gate, '');

  it('runs only a template that matches the project, and with --apply updates it in the cluster', async () => {
    await open();
    expect(await refusal(argv())).toMatchObject({
      code: 'AIOT_ARGO_TEMPLATE',
      exit: 6,
      message: 'the WorkflowTemplate pipeline in the namespace juice does not exist',
    });
    const run = await ok(runResultSchema, argv('--apply'));
    expect(run).toMatchObject({ state: 'done', engine: 'argo', model: null });
    expect(states(run)).toEqual(['press done', 'taste done', 'ship done', 'idle skipped']);
    expect(run.steps.at(-1)).toMatchObject({ cached: false, reason: 'nobody is thirsty' });
    expect(run.workflow).toMatchObject({ namespace: 'juice', template: 'pipeline', seen: true });
    const [workflow] = argo.workflows.values();
    expect(workflow?.metadata.labels).toEqual({ 'aiot/run': run.run });

    // The same pipeline needs no --apply, but a changed step does.
    const told = await runCli(argv());
    expect(told.code, told.stderr).toBe(0);
    expect(told.stdout).toMatch(/ship\s+done/);
    expect(told.stderr).toContain('· idle  skipped: nobody is thirsty');
    await writeFile(
      join(dir, 'aiot.yaml'),
      (await readFile(join(dir, 'aiot.yaml'), 'utf8')).replace('apple', 'pear'),
    );
    expect((await refusal(argv())).message).toContain('differs from the current rendering');
    expect(submitted()).toBe(2);
    expect((await runCli(argv('--apply'))).code).toBe(0);
    expect(argo.templates.get('pipeline')?.metadata.resourceVersion).toBe('2');
  });

  it('ends like a local run: with 6 at a failed gate, the reason and the output of the step', async () => {
    const { code, stderr } = await runCli(argv('--apply'));
    expect(code).toBe(6);
    expect(stderr).toContain('AIOT_GATE_FAILED: taste: too sour');
    const { json } = await runCli(argv('--json'));
    expect(states(json as RunResult)).toEqual([
      'press done',
      'taste stopped',
      'ship not-run',
      'idle not-run',
    ]);
    expect((json as RunResult).steps[2]?.reason).toBe('the gate of taste failed');
    const status = await runCli(['pipeline', 'status', '--project', dir, '--step', 'taste']);
    expect(status.stdout).toContain('too sour');
    expect(status.stdout).toMatch(/runs on\s+Argo at http/);

    // Resuming retries the same workflow from the step that failed.
    await open();
    const resumed = await ok(runResultSchema, ['pipeline', 'resume', '--project', dir]);
    expect(states(resumed)).toEqual(['press done', 'taste done', 'ship done', 'idle skipped']);
    expect(resumed.workflow?.name).toBe((json as RunResult).workflow?.name);
    expect(submitted()).toBe(2);
  });

  it('follows a run despite dropped connections, and creates one workflow even if a response is lost', async () => {
    await open();
    argo.cutAfter = 2;
    argo.fail('/submit', 'no answer');
    const run = await ok(runResultSchema, argv('--apply'));
    expect(states(run)).toEqual(['press done', 'taste done', 'ship done', 'idle skipped']);
    expect(submitted()).toBe(2);
    expect(argo.workflows.size).toBe(1);
  });

  const refused: [string, string, Fault, string, number][] = [
    [
      'an invalid token',
      'GET workflow-templates',
      { status: 401, code: 16, message: 'token not valid' },
      'AIOT_ARGO_DENIED',
      5,
    ],
    [
      'a token without permission',
      '/submit',
      { status: 403, code: 7, message: 'not allowed' },
      'AIOT_ARGO_DENIED',
      5,
    ],
    [
      'a deleted template',
      '/submit',
      { status: 404, code: 5, message: 'not found' },
      'AIOT_ARGO_TEMPLATE',
      6,
    ],
    [
      'an invalid request',
      '/submit',
      { status: 400, code: 3, message: 'spec.x: bad' },
      'AIOT_ARGO_FAILED',
      1,
    ],
  ];
  it.each(refused)('reports the server’s rejection of %s', async (_what, call, fault, code, exit) => {
    await open();
    expect((await runCli(argv('--apply'))).code).toBe(0);
    argo.fail(call, fault);
    const told = await refusal(argv());
    expect(told).toMatchObject({ code, exit });
    // A run that never started leaves no workflow behind.
    expect(argo.workflows.size).toBe(1);
  });

  it('rejects invalid options and an unreachable server before it records a run', async () => {
    const local = ['pipeline', 'run', '--project', dir, '--engine', 'argo'];
    expect(await refusal(local)).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
    expect(await refusal([...local, '--argo-server', 'http://argo.example:2746'])).toMatchObject({
      code: 'AIOT_USAGE',
      message: expect.stringContaining('http:// is allowed only on this machine'),
    });
    for (const local of [['--until', 'taste'], ['--jobs', '2'], ['--force'], ['--context', 'plant']])
      expect(await refusal(argv(...local))).toMatchObject({ code: 'AIOT_USAGE' });
    await argo.stop();
    expect(await refusal(argv())).toMatchObject({ code: 'AIOT_ARGO_UNREACHABLE', exit: 1 });
    expect(existsSync(join(dir, '.aiot/pipeline/runs'))).toBe(false);
  });

  /** Starts a run that is stopped at a waiting gate, in the middle of its steps. */
  async function waiting(): Promise<{ running: Promise<RunRecord>; stop: AbortController }> {
    const yaml = join(dir, 'aiot.yaml');
    const wait = JSON.stringify(
      `setInterval(() => { if (require('fs').existsSync(${JSON.stringify(gate)})) process.exit(0) }, 20)`,
    );
    const text = await readFile(yaml, 'utf8');
    await writeFile(
      yaml,
      text.replace(/name: taste, run: \[node, -e, .*?\], in/, `name: taste, run: [node, -e, ${wait}], in`),
    );
    const stop = new AbortController();
    let begun: () => void = () => {};
    const tasting = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const running = runOnCluster({
      ...{ dir, server: argo.url, token, apply: true, signal: stop.signal },
      onChange: (_record, step) => {
        if (step?.name === 'taste' && step.state === 'running') begun();
      },
    });
    await Promise.race([tasting, running]);
    return { running, stop };
  }

  it('leaves the workflow running when stopped, and resumes watching the same one', async () => {
    const { running, stop } = await waiting();
    stop.abort(new Error('stopped'));
    const left = await running;
    expect(left.state).toBe('interrupted');
    const told = await runCli(['pipeline', 'status', '--project', dir]);
    expect(told.stdout).toContain('the workflow continues on the cluster');
    await open();
    const resumed = await resumePipeline({ dir, token });
    expect(resumed).toMatchObject({ state: 'done', run: left.run, workflow: left.workflow });
    expect(submitted()).toBe(1);
  });

  it('is ended by cancel, even while another process watches', async () => {
    const { running } = await waiting();
    const cancelled = await cancelPipeline({ dir, token });
    expect(cancelled).toMatchObject({ state: 'cancelled', runner: null });
    expect(states(cancelled)).toEqual(['press done', 'taste cancelled', 'ship cancelled', 'idle cancelled']);
    expect((await running).state).toBe('cancelled');
    const [workflow] = argo.workflows.values();
    expect(workflow?.spec.shutdown).toBe('Terminate');
    await expect(cancelPipeline({ dir, token })).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  });

  it('reports a deleted workflow', async () => {
    const { running } = await waiting();
    const [name = ''] = argo.workflows.keys();
    argo.delete(name);
    const record = await running;
    expect(record.state).toBe('cancelled');
    expect(record.steps[1]).toMatchObject({
      state: 'cancelled',
      reason: 'the workflow was deleted in the cluster',
    });
    await open();
    expect((await pipelineStatus({ dir })).state).toBe('cancelled');
  });

  it('verifies the server’s certificate', async () => {
    const certificates = await makeCertificates();
    const tls = { cert: await certificates.read('server.crt'), key: await certificates.read('server.key') };
    const secure = await startArgo({ dir: join(dir, 'secure'), token, tls });
    try {
      await open();
      await writeFile(join(dir, 'deploy.yaml'), `argo: { server: '${secure.url}', ca: ca.pem }\n`);
      await writeFile(join(dir, 'ca.pem'), await certificates.read('other.crt'));
      const asked = ['pipeline', 'run', '--project', dir, '--engine', 'argo', '--apply'];
      expect(await refusal(asked)).toMatchObject({ code: 'AIOT_PLATFORM_UNTRUSTED', exit: 5 });
      const run = await ok(runResultSchema, [...asked, '--ca', certificates.path('ca.crt')]);
      expect(run.state).toBe('done');
    } finally {
      await secure.stop();
      await certificates.remove();
      await rm(join(dir, 'ca.pem'));
    }
  });
});
