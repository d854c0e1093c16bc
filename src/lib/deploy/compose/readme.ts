import { mosquittoAlone } from '../mosquitto.js';
import type { Values } from '../values/index.js';
import { kafkaScope } from './scope.js';

/** What to do with the files, in the order of doing it. */
export function readme(values: Values): string {
  const { name, host, image, platform, kafka, nats, redis, services } = values;
  const contexts = Object.entries(services).flatMap(([service, { context }]) => (context ? [service] : []));
  const motion = Object.values(services).some(({ talksTo }) => talksTo.some((to) => to.startsWith('nats:')));
  const scope = kafkaScope(values);
  const open = scope ? scope.ports : null;
  return `# ${name} with Docker Compose

Rendered by \`aiot deploy render --target compose\`. No file here holds a secret; \`secrets.sh\` makes them where you are. The image \`${image}\` is what
aiot's Dockerfile makes.

\`\`\`sh
sh secrets.sh                        # secrets/ and certs/: keep a copy elsewhere
aiot deploy check .                  # what would go wrong
docker compose up -d --wait${(nats || redis) && !motion ? '          # --profile motion: NATS and Redis too' : ''}
docker compose ps
\`\`\`
${
  platform
    ? `
The first token is made on your terminal, by a further process of the platform that you end with Ctrl-C:

\`\`\`sh
docker compose exec platform /nodejs/bin/node /app/bin/run.js up --new-token --data /tmp/first --http-port 0 --mqtt-port 0${platform.compat ? ' --compat-ports 0,0,0,0' : ''}
docker compose exec platform /nodejs/bin/node -p "require('node:fs').readFileSync('/var/lib/aiot/platform/pki/ca.crt','utf8')" >ca.crt
aiot context add ${name} --url https://${host}:${platform.port} --mqtt mqtts://${host}:${platform.mqttPort} --ca ca.crt --token-file -
\`\`\`
`
    : ''
}
| | |
| --- | --- |
${rows(values).join('\n')}

- Containers run without root, without capabilities, with a read-only root file system. \`inside\` is a network without a way out.
${open ? '- Kafka listens outside without a password, for the guide’s clients, which have none: let the firewall say who may come.\n' : ''}${kafka && !open ? '- Kafka is for this installation alone; from outside nobody reaches it.\n' : ''}${
  contexts.length > 0
    ? `- ${contexts.map((service) => `\`context/${service}/\``).join(', ')}: contexts.json with a token of its own, and ca.crt, which it names as /context/ca.crt.\n`
    : ''
}- On another machine: \`docker context use NAME\` first. Files are bind mounts: they have to be there too, at the same place.
- Rendered again, it changes what it has rendered, and refuses what you have edited.
`;
}

function rows(values: Values): string[] {
  const { platform, nats, redis, services, kafka } = values;
  const scope = kafkaScope(values);
  const open = scope ? scope.ports : null;
  return [
    ...(platform
      ? [
          `| API | port ${platform.port} |`,
          `| MQTT for devices | port ${platform.mqttPort} |`,
          ...(platform.compat ? [`| the guide's services | ports ${platform.compatPorts.join(', ')} |`] : []),
        ]
      : []),
    ...(mosquittoAlone(values) ? ['| MQTT over TLS, user `programs` | port 8883 |'] : []),
    ...(kafka
      ? [`| Kafka | ${open ? `port ${kafka.outside ? kafka.outside.bootstrap : ''}` : 'inside'} |`]
      : []),
    ...(nats ? ['| NATS over TLS, with the token | port 4222 |'] : []),
    ...(redis ? ['| Redis over TLS, with the password | port 7379 |'] : []),
    ...Object.entries(services).flatMap(([name, { ports }]) =>
      ports.map(({ port, nodePort }) => `| ${name} | port ${nodePort ?? port} |`),
    ),
  ];
}
