import { stringify } from 'yaml';
import type { DeployTarget, RenderedFile } from '../types.js';
import { nothing } from '../values.js';

/** Monitoring of any platform: what Prometheus scrapes, alerts for it, and a dashboard for Grafana. */
export const grafanaTarget: DeployTarget = {
  name: 'grafana',
  about: 'Prometheus rules and a Grafana dashboard for a platform.',
  next: 'cat README.md',
  usual: () => nothing,
  render(): RenderedFile[] {
    return [
      { path: 'README.md', text: readme, about: 'instructions for these files' },
      { path: 'prometheus.yaml', text: yamlOf(scrape), about: 'the scrape configuration' },
      { path: 'rules.yaml', text: yamlOf(rules), about: 'alerts for Prometheus' },
      { path: 'dashboards/aiot.json', text: jsonOf(dashboard()), about: 'the dashboard' },
      {
        path: 'provisioning/dashboards/aiot.yaml',
        text: yamlOf(dashboardProvider),
        about: 'tells Grafana where the dashboard is',
      },
      {
        path: 'provisioning/datasources/prometheus.yaml',
        text: yamlOf(dataSources),
        about: 'tells Grafana where Prometheus is',
      },
    ];
  },
};

const yamlOf = (value: object) => stringify(value, { lineWidth: 0 });
const jsonOf = (value: object) => `${JSON.stringify(value, null, 2)}\n`;

const scrape = {
  global: { scrape_interval: '30s', evaluation_interval: '30s' },
  rule_files: ['rules.yaml'],
  scrape_configs: [
    {
      job_name: 'aiot',
      scheme: 'https',
      authorization: { credentials_file: 'secrets/token' },
      tls_config: { ca_file: 'secrets/ca.crt' },
      static_configs: [{ targets: ['localhost:8443'] }],
    },
  ],
};

interface Alert {
  name: string;
  severity: 'critical' | 'warning';
  expression: string;
  for: string;
  summary: string;
  /** The next step for an operator. */
  next: string;
}

const minute = '5m';
const rate = (metric: string) => `sum(rate(${metric}[${minute}]))`;

const alerts: readonly Alert[] = [
  {
    ...{ name: 'AiotDown', severity: 'critical', expression: 'up{job="aiot"} == 0', for: '2m' },
    summary: 'Prometheus cannot read the metrics of {{ $labels.instance }}.',
    next: 'Check that the platform runs, and that the token in secrets/token is valid.',
  },
  {
    ...{ name: 'AiotIngestSlow', severity: 'warning', for: '10m' },
    expression: objectiveMissed('ingest'),
    summary:
      'Only {{ $value | humanizePercentage }} of the messages of the last hour were stored within 250 ms.',
    next: 'Compare with the duration of syncs: the disk or the database is probably slow.',
  },
  {
    ...{ name: 'AiotDevicesOffline', severity: 'warning', for: '10m' },
    expression: objectiveMissed('presence'),
    summary: 'Only {{ $value | humanizePercentage }} of the devices were online in the last hour.',
    next: 'Run: aiot status --attention',
  },
  {
    ...{ name: 'AiotUpdatesFail', severity: 'warning', for: '10m' },
    expression: objectiveMissed('updates'),
    summary: 'Only {{ $value | humanizePercentage }} of the updates of the last 7 days succeeded.',
    next: 'Run: aiot rollout list',
  },
  {
    ...{ name: 'AiotDevicesFailing', severity: 'warning', for: '15m' },
    expression: 'sum(aiot_devices_health{state="failing"}) by (instance) > 0',
    summary: '{{ $value }} devices are failing.',
    next: 'Run: aiot status --attention',
  },
  {
    ...{ name: 'AiotDevicesWaiting', severity: 'warning', for: '60m' },
    expression: 'aiot_enrollments{state="waiting"} > 0',
    summary: '{{ $value }} devices wait for approval.',
    next: 'Run: aiot device waiting list',
  },
  {
    ...{ name: 'AiotCommitBacklog', severity: 'critical', for: '5m' },
    expression: 'aiot_commit_backlog_records > 10000',
    summary: '{{ $value }} records wait to be written ({{ $labels.log }}).',
    next: 'Check the disk, or the connection to the database.',
  },
  {
    ...{ name: 'AiotMessagesDropped', severity: 'warning', for: '5m' },
    expression: `sum(rate(aiot_mqtt_dropped_total[${minute}])) by (instance) > 0`,
    summary: 'Messages are dropped because subscribers are too slow.',
    next: 'Find the session in the log: aiot platform logs.',
  },
  {
    ...{ name: 'AiotMessagesMalformed', severity: 'warning', for: '15m' },
    expression: `sum(rate(aiot_mqtt_malformed_total[${minute}])) by (instance) > 0.1`,
    summary: '{{ $value | humanize }} messages a second violate the protocol.',
    next: 'Run: aiot status --attention',
  },
  {
    ...{ name: 'AiotDamage', severity: 'critical', for: '0m' },
    expression: 'sum(aiot_damage_findings) by (instance) > 0',
    summary: 'Stored data is damaged.',
    next: 'Run: aiot platform verify',
  },
  {
    ...{ name: 'AiotServerErrors', severity: 'warning', for: '10m' },
    expression: `${rate('aiot_http_request_duration_seconds_count{status=~"5.."}')} / ${rate('aiot_http_request_duration_seconds_count')} > 0.01`,
    summary: '{{ $value | humanizePercentage }} of the API requests fail.',
    next: 'Read the platform log.',
  },
  {
    ...{ name: 'AiotRolloutPaused', severity: 'warning', for: '5m' },
    expression: 'aiot_rollouts{state="paused"} > 0',
    summary: '{{ $value }} rollouts are paused.',
    next: 'Run: aiot rollout list',
  },
  {
    ...{ name: 'AiotWebhookFailing', severity: 'warning', for: '15m' },
    expression: 'aiot_webhooks{state="failing"} > 0',
    summary: '{{ $value }} webhooks fail.',
    next: 'Run: aiot webhook list',
  },
  {
    ...{ name: 'AiotConnectionsDropped', severity: 'warning', for: '10m' },
    expression: `sum(rate(aiot_connections_dropped_total[${minute}])) by (instance) > 0`,
    summary: 'Connections are closed because a limit was reached.',
    next: 'Read about the limits: aiot docs mqtt-broker.',
  },
];

function objectiveMissed(objective: string): string {
  const of = `{objective="${objective}"}`;
  return `aiot_objective_ratio${of} < aiot_objective_target_ratio${of}`;
}

const rules = {
  groups: [
    {
      name: 'aiot',
      rules: alerts.map(({ name, severity, expression, for: lasting, summary, next }) => ({
        ...{ alert: name, expr: expression, for: lasting },
        labels: { severity },
        annotations: { summary, description: next },
      })),
    },
  ],
};

interface Panel {
  title: string;
  kind?: 'stat' | 'timeseries';
  unit?: 'percentunit' | 's' | 'bytes' | 'short' | 'ops' | 'Bps';
  /** Expression → legend. */
  queries: Readonly<Record<string, string>>;
}

const quantile = (share: number, metric: string, by = '') =>
  `histogram_quantile(${share}, sum(rate(${metric}_bucket[${minute}])) by (le${by}))`;

/** Panels by row; each row has up to four of the same width. */
const rows: readonly (readonly [title: string, ...panels: Panel[]])[] = [
  [
    'Objectives',
    ...(['ingest', 'presence', 'updates'] as const).map(
      (name): Panel => ({
        title: { ingest: 'Stored within 250 ms', presence: 'Devices online', updates: 'Updates committed' }[
          name
        ],
        ...{ kind: 'stat', unit: 'percentunit' },
        queries: { [`min(aiot_objective_ratio{objective="${name}"})`]: name },
      }),
    ),
    {
      ...{ title: 'Devices', kind: 'stat', unit: 'short' },
      queries: { 'max(aiot_devices)': 'registered', 'sum(aiot_devices_online)': 'online' },
    },
  ],
  [
    'Fleet',
    { title: 'Health of devices', queries: { 'max(aiot_devices_health) by (state)': '{{state}}' } },
    { title: 'Rollouts', queries: { 'max(aiot_rollouts) by (state)': '{{state}}' } },
    {
      title: 'Devices online',
      queries: { 'sum(aiot_devices_online)': 'online', 'max(aiot_devices)': 'registered' },
    },
  ],
  [
    'Messages',
    {
      ...{ title: 'Messages per second', unit: 'ops' },
      queries: { [rate('aiot_mqtt_received_total')]: 'received', [rate('aiot_mqtt_sent_total')]: 'sent' },
    },
    {
      ...{ title: 'Time to store a message', unit: 's' },
      queries: {
        [quantile(0.5, 'aiot_ingest_duration_seconds')]: 'median',
        [quantile(0.99, 'aiot_ingest_duration_seconds')]: '99 %',
      },
    },
    {
      ...{ title: 'Lost and rejected per second', unit: 'ops' },
      queries: {
        [rate('aiot_mqtt_dropped_total')]: 'dropped',
        [rate('aiot_mqtt_malformed_total')]: 'malformed',
        [rate('aiot_mqtt_refused_total')]: 'rejected',
      },
    },
    {
      ...{ title: 'Traffic', unit: 'Bps' },
      queries: {
        [rate('aiot_mqtt_received_bytes_total')]: 'received',
        [rate('aiot_mqtt_sent_bytes_total')]: 'sent',
      },
    },
  ],
  [
    'API and storage',
    {
      ...{ title: 'Requests per second', unit: 'ops' },
      queries: {
        [`sum(rate(aiot_http_request_duration_seconds_count[${minute}])) by (status)`]: '{{status}}',
      },
    },
    {
      ...{ title: 'Response time', unit: 's' },
      queries: {
        [quantile(0.5, 'aiot_http_request_duration_seconds')]: 'median',
        [quantile(0.99, 'aiot_http_request_duration_seconds')]: '99 %',
      },
    },
    {
      ...{ title: 'Duration of syncs, 99 %', unit: 's' },
      queries: { [quantile(0.99, 'aiot_sync_duration_seconds', ', part')]: '{{part}}' },
    },
    {
      title: 'Backlogs',
      queries: {
        'max(aiot_commit_backlog_records) by (log)': 'commits, {{log}}',
        'max(aiot_mqtt_queued_messages)': 'queued messages',
        'max(aiot_webhook_backlog_events)': 'webhooks',
      },
    },
  ],
  [
    'Process',
    {
      ...{ title: 'Memory', unit: 'bytes' },
      queries: { process_resident_memory_bytes: '{{instance}}' },
    },
    { title: 'MQTT clients', queries: { 'sum(aiot_mqtt_clients)': 'clients' } },
    { title: 'Connections', queries: { 'sum(aiot_connections) by (state)': '{{state}}' } },
    { title: 'Damage', queries: { 'sum(aiot_damage_findings)': 'findings' } },
  ],
];

const [columns, rowHeight, titleHeight] = [24, 8, 1];

/** A dashboard of Grafana's JSON model, schema version 39. */
function dashboard() {
  const panels: object[] = [];
  let y = 0;
  for (const [title, ...own] of rows) {
    panels.push({
      ...{ id: panels.length + 1, type: 'row', title, collapsed: false, panels: [] },
      gridPos: { x: 0, y, w: columns, h: titleHeight },
    });
    y += titleHeight;
    const width = Math.floor(columns / own.length);
    own.forEach((panel, index) => {
      const gridPos = { x: index * width, y, w: width, h: rowHeight };
      panels.push({ id: panels.length + 1, ...panelOf(panel), gridPos });
    });
    y += rowHeight;
  }
  return {
    ...{ uid: 'aiot', title: 'aiot', tags: ['aiot'], timezone: 'browser', schemaVersion: 39, version: 1 },
    ...{ editable: true, refresh: '30s', time: { from: 'now-6h', to: 'now' } },
    templating: {
      list: [{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' }],
    },
    panels,
  };
}

function panelOf({ title, kind = 'timeseries', unit = 'short', queries }: Panel) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana replaces it with the data source that was chosen.
  const datasource = { type: 'prometheus', uid: '${datasource}' };
  return {
    ...{ type: kind, title, datasource },
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    targets: Object.entries(queries).map(([expr, legendFormat], index) => ({
      ...{ datasource, expr, legendFormat, refId: String.fromCharCode(65 + index) },
    })),
  };
}

const dashboardProvider = {
  apiVersion: 1,
  providers: [{ name: 'aiot', type: 'file', options: { path: '/etc/grafana/dashboards' } }],
};

const dataSources = {
  apiVersion: 1,
  datasources: [
    {
      name: 'Prometheus',
      type: 'prometheus',
      access: 'proxy',
      url: 'http://localhost:9090',
      isDefault: true,
    },
  ],
};

const readme = `# Monitor a platform with Prometheus and Grafana

1. Create a token for Prometheus, and copy the CA of the platform:

   \`\`\`sh
   mkdir -p secrets
   aiot token create prometheus --role viewer --json | jq -r .token > secrets/token
   cp DATA/pki/ca.crt secrets/ca.crt
   \`\`\`

2. In \`prometheus.yaml\`, replace \`localhost:8443\` by the platform's address. List all replicas.
3. Start Prometheus with \`--config.file=prometheus.yaml\` in this folder, or add its job and \`rules.yaml\` to your configuration.
4. Copy \`provisioning/\` to \`/etc/grafana/provisioning\`, and \`dashboards/\` to \`/etc/grafana/dashboards\`. Or import \`dashboards/aiot.json\` in
   Grafana (Dashboards, New, Import).

The alerts state in their description what to do. Prometheus sends them to your Alertmanager.

If a collector receives the platform's metrics by OTLP instead, the names of the metrics are the same.
`;
