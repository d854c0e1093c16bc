import { largeFilesText } from '../argo/template.js';
import type { RenderedPipeline } from '../types.js';
import type { Values } from '../values/index.js';
import { bootstrapOf, isSecured } from './kafka.js';

const revokedNote =
  '- A device that is revoked is refused by Mosquitto at its next connection; `kubectl rollout restart statefulset/broker` cuts those that are open.\n';
const outsideOf = ({ kafka }: Values) => (kafka ? kafka.outside : false);

/** What to do with the files, in the order of doing it. */
export function readme(values: Values, pipeline: RenderedPipeline | null): string {
  const { name, namespace, host, image, platform, kafka, argo, broker, services, storageClass } = values;
  const needs = [
    'cert-manager 1.18 or newer',
    ...(kafka ? ['Strimzi 1.0 or newer, which watches this namespace'] : []),
    ...(argo ? ['Argo Workflows 3.6 or newer, and Argo Events 1.9'] : []),
    ...(storageClass === 'local-path' ? [] : [`the storage class \`${storageClass}\``]),
  ];
  const contexts = Object.entries(services).filter(([, { context }]) => context);
  return `# ${name} on K3S

Rendered by \`aiot deploy render --target k3s\`. No file here holds a secret; \`secrets.sh\` makes them where you are.

The cluster needs ${needs.join('; ')}. The image \`${image}\` is what aiot's Dockerfile makes.

## Start

\`\`\`sh
sh secrets.sh                                        # secrets/*.env, mode 0600: keep a copy elsewhere
aiot deploy check .                                  # what would go wrong in the cluster
kubectl apply -f base/namespace.yaml
kubectl apply -k secrets
kubectl apply --server-side -k .
aiot deploy status .
\`\`\`

\`aiot deploy apply .\` does the four, says which first, and asks.
${platform ? firstToken(values) : ''}
${
  contexts.length > 0
    ? contextSection(
        contexts.map(([service]) => service),
        namespace,
      )
    : ''
}${pipeline ? pipelineSection(values, pipeline) : ''}## What is where

| | |
| --- | --- |
${rows(values).join('\n')}

## Secrets

- \`secrets/\` is a Kustomization of its own: a repository has its kustomization.yaml and no values (\`.gitignore\`). With Argo CD or Flux make the same objects by
  SealedSecrets (\`kubectl kustomize secrets | kubeseal\`) or ExternalSecrets, under the same names.
- \`platform\` seals the CA in the database: **without it the devices' CA is lost**. \`database\` and \`objects\` are PostgreSQL's and MinIO's.
${isSecured(values) ? '- Kafka’s passwords are made by Strimzi, certificates by cert-manager.\n' : ''}
## Good to know

- Between nodes the cluster's network is as secret as its backend makes it: \`aiot deploy render --target k3s-nodes\` writes \`flannel-backend: wireguard-native\`.
${outsideOf(values) ? kafkaNote(values) : ''}${broker ? revokedNote : ''}- \`components/monitoring\` needs the Prometheus operator and a viewer's token: \`kubectl -n ${namespace} create secret generic metrics --from-file=token=FILE\`, then \`monitoring: true\` in deploy.yaml.
- Rendered again, it changes what it has rendered, and refuses what you have edited. \`aiot deploy diff .\` shows both.
- People and programs: https://${host}${platform && platform.port !== 443 ? `:${platform.port}` : ''}; by that name the cluster's CA vouches, for devices the platform's own.
`;
}

const firstToken = ({ namespace, hosts, platform }: Values) => `
## The first token

The platform's log never shows it. One is made on your terminal, by a further process of the platform that you end with Ctrl-C:

\`\`\`sh
kubectl -n ${namespace} exec -it deploy/platform -- /nodejs/bin/node /app/bin/run.js up --new-token --data /tmp/first --http-port 0 --mqtt-port 0${(platform ? platform.compat : undefined) === undefined ? '' : ' --compat-ports 0,0,0,0'}
kubectl -n ${namespace} get secret platform-tls -o jsonpath='{.data.ca\\.crt}' | base64 -d >cluster-ca.crt
aiot context add ${namespace} --url https://${hosts[0]}:8443 --ca cluster-ca.crt --token-file -
\`\`\`
`;

const contextSection = (names: string[], namespace: string) => `## Contexts

These talk to a platform by a context of yours, with a token of their own (\`aiot token create NAME --role ROLE --user …\`):

\`\`\`sh
${names.map((name) => `kubectl -n ${namespace} create secret generic ${name}-context --from-file=contexts.json --from-file=ca.crt`).join('\n')}
\`\`\`

\`ca\` in that contexts.json is /context/ca.crt.

`;

const pipelineSection = ({ namespace, argo }: Values, { large }: RenderedPipeline) => `## The pipeline

It pushes models as a user of its own, whose contexts.json and signing key are one folder:

\`\`\`sh
kubectl -n ${namespace} create secret generic pipeline-context --from-file=CONFIG-FOLDER
aiot pipeline run --engine argo --argo-server https://ARGO:2746 --argo-token-file FILE   # or a control message, or: argo submit -n ${namespace} --from workflowtemplate/${argo ? argo.workflow : ''}
\`\`\`

${largeFilesText(large)}
`;

function rows(values: Values): string[] {
  const { platform, broker, kafka, services } = values;
  const told: string[] = [];
  if (platform) {
    told.push(`| API | each node, port ${platform.port} |`);
    told.push(
      `| MQTT for devices | each node, port ${platform.mqttPort} (${broker ? 'Mosquitto' : 'the platform'}) |`,
    );
    if (platform.compat)
      told.push(`| the guide's services | each node, ports ${platform.compatPorts.join(', ')} |`);
  }
  if (kafka) {
    told.push(`| Kafka, inside | ${bootstrapOf(values)} |`);
    if (kafka.outside) {
      const each = kafka.outside.brokers.slice(0, kafka.brokers).join(', ');
      told.push(`| Kafka, outside | each node, ports ${kafka.outside.bootstrap} and ${each} |`);
    }
  }
  for (const [name, { ports }] of Object.entries(services)) {
    for (const { port, nodePort } of ports) {
      told.push(
        `| ${name} | ${nodePort === undefined ? `inside, port ${port}` : `each node, port ${nodePort}`} |`,
      );
    }
  }
  return told;
}

function kafkaNote(values: Values): string {
  const { kafka } = values;
  const open = !isSecured(values);
  const outside = outsideOf(values);
  const ports = kafka && outside ? [outside.bootstrap, ...outside.brokers.slice(0, kafka.brokers)] : [];
  return `- Kafka from outside: open ports ${ports.join(' and ')} in the firewall; the first alone is not enough.${
    open
      ? ' The guide’s clients show no password, so whoever reaches these ports reads and writes all topics. Its oldest ones (sarama 1.20) speak a protocol that Kafka 4 refuses; the platform stands in for those.'
      : ' Clients show a user (KafkaUser) over TLS.'
  }\n`;
}
