import { AiotCommand, again, facts, moment, next, shared } from '../lib/cli/index.js';
import { statusSchema, withClient } from '../lib/registry/index.js';

export default class Status extends AiotCommand {
  static override summary = 'Show the state of the platform in use.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --context lab --json',
  ];
  static override flags = { context: shared.context };
  static override result = statusSchema;

  async run() {
    const input = await this.input(Status);
    const { flags } = input;
    const at = again(input, 'context');
    const status = await withClient(flags.context, (client) => client.status());
    const { urls, counts, started, version } = status;
    this.print(
      facts([
        ['API', urls.http],
        ['MQTT', [urls.mqtts, urls.mqtt].filter(Boolean).join(', ')],
        ...(urls.boards === undefined ? [] : [['boards', urls.boards] as [string, string]]),
        ['version', version],
        ['since', moment(started)],
        ['devices', `${counts.devices}, ${counts.online} online`],
        ['datasets', counts.datasets],
        ['models', counts.models],
        ['rollouts', counts.rollouts],
      ]),
    );
    this.print(next(`aiot device list${at}`, `aiot model list${at}`));
    return status;
  }
}
