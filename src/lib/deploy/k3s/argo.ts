import { stringify } from 'yaml';
import type { Values } from '../values/index.js';
import { isSecured } from './kafka.js';
import { limitsOf, secure } from './secure.js';

/** As templates/deploy/k3s/argo.yaml wants it. */
export function argoScope(values: Values, pipeline: boolean) {
  const { argo, kafka, objects, platform } = values;
  const broker = platform && values.broker;
  if (!argo) return false;
  const sources = [
    ...(broker ? ['control-mqtt'] : []),
    ...(kafka ? ['control-kafka'] : []),
    ...(argo.webhook ? ['control-webhook'] : []),
  ];
  const pod = (role: string, account: object) => ({
    metadata: { labels: { 'aiot/events': role } },
    ...account,
    securityContext: secure.pod,
    container: {
      resources: limitsOf({ cpu: '20m', memory: '64Mi', limit: '256Mi' }),
      securityContext: secure.container,
    },
  });
  return {
    bus: argo.bus,
    busSize: argo.busSize,
    storageClass: values.storageClass,
    workflow: argo.workflow,
    mqtt: Boolean(broker),
    kafka: Boolean(kafka),
    /** The guide's Kafka asks nobody for a password. */
    sasl: isSecured(values)
      ? {
          mechanism: 'SCRAM-SHA-512',
          userSecret: { name: 'pipeline-names', key: 'kafka' },
          passwordSecret: { name: 'kafka-pipeline', key: 'password' },
        }
      : null,
    byHand: pipeline ? null : `WorkflowTemplate/${argo.workflow}`,
    webhook: argo.webhook,
    pod: pod('eventsource-name', {}),
    sensorPod: pod('sensor-name', { serviceAccountName: 'pipeline-sensor' }),
    dependencies: sources.map((source) => ({
      name: source,
      eventSourceName: source,
      eventName: 'control',
      ...(source === 'control-webhook'
        ? {}
        : {
            filters: {
              data: [{ path: 'body.command', type: 'string', comparator: '=', value: argo.commands }],
            },
          }),
    })),
    conditions: sources.join(' || '),
    repository: objects
      ? stringify({
          s3: {
            bucket: objects.bucket,
            keyFormat: 'pipeline/{{workflow.name}}/{{pod.name}}',
            endpoint: objects.endpoint === undefined ? 'objects:9000' : new URL(objects.endpoint).host,
            region: objects.region,
            insecure: objects.endpoint === undefined || objects.endpoint.startsWith('http:'),
            accessKeySecret: { name: 'objects', key: 'user' },
            secretKeySecret: { name: 'objects', key: 'password' },
          },
        })
      : '',
  };
}
