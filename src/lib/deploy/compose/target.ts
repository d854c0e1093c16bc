import { mosquittoAlone, mosquittoFiles } from '../mosquitto.js';
import { secretsOf, secretsScript } from '../secrets/index.js';
import { fillTemplate, templateText } from '../template/index.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { type Values, valuesSchema } from '../values/index.js';
import { certificatesScript } from './certificates.js';
import { readme } from './readme.js';
import { scopeOf } from './scope.js';
import { secretFilesOf } from './secret-files.js';

/** One machine with Docker, or any context of it: the platform with its parts, and the project's processes. */
export const composeTarget: DeployTarget = {
  name: 'compose',
  about: 'One machine with Docker: platform, PostgreSQL, S3, NATS, Redis (compose.yaml).',
  next: 'sh secrets.sh && docker compose up -d --wait',
  usual: () => {
    const { nats } = valuesSchema.parse({ nats: {} });
    return { kafka: false, nats: nats ?? false, redis: nats ?? false, argo: false };
  },
  render(input: RenderInput): RenderedFile[] {
    const { values } = input;
    const text = (path: string) => templateText(path);
    return [
      { path: 'README.md', text: readme(values), about: 'what to do with these files' },
      {
        path: 'compose.yaml',
        text: fillTemplate(text('compose/compose.yaml'), scopeOf(values)),
        about: 'services, networks, volumes',
      },
      {
        path: 'secrets.sh',
        text: secretsScript(secretFilesOf(values, secretsOf(values)), certificatesScript(values)),
        about: 'makes secrets and certificates, here',
      },
      { path: '.gitignore', text: 'secrets/\ncerts/\ncontext/\n', about: 'keeps them out of a repository' },
      ...(values.nats ? [{ path: 'nats/nats.conf', text: text('k3s/nats/nats.conf'), about: 'NATS' }] : []),
      ...(values.redis
        ? [{ path: 'redis/redis.conf', text: text('k3s/redis/redis.conf'), about: 'Redis' }]
        : []),
      ...(mosquittoAlone(values)
        ? mosquittoFiles(values).map(([name, text]) => ({ path: `broker/${name}`, text, about: 'Mosquitto' }))
        : []),
      ...projectFiles(input),
    ];
  },
};

function projectFiles({ values, files }: RenderInput): RenderedFile[] {
  const read = new Set(
    Object.values(values.services as Values['services']).flatMap((service) => service.files),
  );
  return [...read].sort().map((path) => ({
    path: `project/${path}`,
    text: files.get(path) ?? '',
    about: 'of the project',
  }));
}
