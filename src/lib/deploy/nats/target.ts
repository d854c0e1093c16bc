import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { nothing } from '../values/index.js';
import { authConfig, serverConfig } from './config.js';
import { consumerDefinition, streamDefinition, streamsYaml } from './definitions.js';
import { prepareScript } from './prepare.js';
import { readme } from './readme.js';

/** A NATS server with JetStream of one's own: TLS, a token, a store that is encrypted, and the streams of a project. */
export const natsTarget: DeployTarget = {
  name: 'nats',
  about: 'A NATS server with JetStream: TLS, a token, an encrypted store, and the streams of the project.',
  next: 'sh prepare.sh',
  usual: () => nothing,
  render(input: RenderInput): RenderedFile[] {
    const { streams } = input;
    const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
    return [
      { path: 'README.md', text: readme(input), about: 'what to do with these files' },
      { path: 'nats.conf', text: serverConfig(input), about: 'the server' },
      { path: 'auth.conf', text: authConfig, about: 'who is let in: the token is in the environment' },
      { path: 'prepare.sh', text: prepareScript, about: 'makes token, key and certificates here' },
      { path: 'streams.yaml', text: streamsYaml(streams), about: 'the streams, for aiot stream create' },
      ...streams.flatMap((stream) => [
        {
          path: `streams/${stream.name}.json`,
          text: json(streamDefinition(stream)),
          about: 'the stream, for nats stream add --config',
        },
        ...(stream.consumers ?? []).map((consumer) => ({
          path: `consumers/${consumer.name}.json`,
          text: json(consumerDefinition(consumer)),
          about: `a consumer of ${stream.name}, for nats consumer add --config`,
        })),
      ]),
    ];
  },
};
