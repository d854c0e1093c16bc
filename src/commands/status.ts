import { AiotCommand, facts, moment, next, shared } from '../lib/cli/index.js';
import { clientFor, statusSchema } from '../lib/registry/index.js';

export default class Status extends AiotCommand {
  static override summary = 'Show the state of the platform in use.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --context lab --json',
  ];
  static override flags = { context: shared.context };
  static override result = statusSchema;

  async run() {
    const { flags } = await this.input(Status);
    const client = await clientFor(flags.context);
    const status = await client.status().finally(() => client.close());
    const { urls, counts, started, version } = status;
    this.print(
      facts([
        ['API', urls.http],
        ['MQTT', [urls.mqtts, urls.mqtt].filter(Boolean).join(', ')],
        ['version', version],
        ['since', moment(started)],
        ['devices', `${counts.devices}, ${counts.online} online`],
        ['datasets', counts.datasets],
        ['models', counts.models],
        ['rollouts', counts.rollouts],
      ]),
    );
    this.print(next('aiot device list', 'aiot model list'));
    return status;
  }
}
