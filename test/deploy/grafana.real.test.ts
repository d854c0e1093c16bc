import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { renderDeployment } from '../../src/lib/deploy/render.js';
import { describeReal } from '../support/real.js';

describeReal('promtool', 'Prometheus’s checks of the rendered files', () => {
  let out: string;
  const promtool = (...words: string[]) => {
    const { status, stdout, stderr } = spawnSync('promtool', words, { cwd: out, encoding: 'utf8' });
    return { status, text: `${stdout}${stderr}` };
  };
  beforeAll(async () => {
    out = await mkdtemp(join(tmpdir(), 'aiot-prometheus-'));
    await renderDeployment({ target: 'grafana', out });
    await mkdir(join(out, 'secrets'));
    for (const name of ['token', 'ca.crt']) await writeFile(join(out, 'secrets', name), '');
  });
  afterAll(() => rm(out, { recursive: true, force: true }));

  it('accept the configuration and the rules', () => {
    const { status, text } = promtool('check', 'config', 'prometheus.yaml');
    expect([status, text]).toEqual([0, expect.stringContaining('1 rule files found')]);
    expect(text).toMatch(/SUCCESS: 14 rules found/);
  });

  it('raise the alerts at the values that they state, and not before', async () => {
    const series = (name: string, values: string) => ({ series: name, values });
    const alert = (name: string, at: string, fired: object[]) => ({
      ...{ eval_time: at, alertname: name, exp_alerts: fired },
    });
    const tests = {
      rule_files: ['rules.yaml'],
      evaluation_interval: '1m',
      tests: [
        {
          interval: '1m',
          input_series: [
            series('up{job="aiot"}', '1x10 0x10'),
            series('aiot_objective_ratio{objective="ingest"}', '0.995x10 0.9x30'),
            series('aiot_objective_target_ratio{objective="ingest"}', '0.99x40'),
            series('aiot_commit_backlog_records{log="telemetry"}', '5x40'),
            series('aiot_enrollments{state="waiting"}', '0x10 2x90'),
          ],
          alert_rule_test: [
            alert('AiotDown', '10m', []),
            alert('AiotDown', '15m', [
              {
                exp_labels: { severity: 'critical', job: 'aiot' },
                exp_annotations: {
                  summary: 'Prometheus cannot read the metrics of .',
                  description: 'Check that the platform runs, and that the token in secrets/token is valid.',
                },
              },
            ]),
            alert('AiotIngestSlow', '10m', []),
            alert('AiotIngestSlow', '30m', [
              {
                exp_labels: { severity: 'warning', objective: 'ingest' },
                exp_annotations: {
                  summary: 'Only 90% of the messages of the last hour were stored within 250 ms.',
                  description:
                    'Compare with the duration of syncs: the disk or the database is probably slow.',
                },
              },
            ]),
            alert('AiotCommitBacklog', '30m', []),
            alert('AiotDevicesWaiting', '60m', []),
            alert('AiotDevicesWaiting', '80m', [
              {
                exp_labels: { severity: 'warning', state: 'waiting' },
                exp_annotations: {
                  summary: '2 devices wait for approval.',
                  description: 'Run: aiot device waiting list',
                },
              },
            ]),
          ],
        },
      ],
    };
    await writeFile(join(out, 'tests.yaml'), stringify(tests));
    const { status, text } = promtool('test', 'rules', 'tests.yaml');
    expect([status, text]).toEqual([0, expect.stringContaining('SUCCESS')]);
  });
});
