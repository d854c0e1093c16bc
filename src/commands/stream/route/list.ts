import { Args } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { setFlag, variablesOf } from '../../../lib/cli/flags/shared.js';
import { listedRoutesText } from '../../../lib/cli/render/streams.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { listedRoutesSchema, listRoutes } from '../../../lib/stream/route/load.js';

export default class StreamRouteList extends AiotCommand {
  static override summary = 'List the routes in a file and the state of their spools.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> routes.yaml',
    '<%= config.bin %> <%= command.id %> --set MQTT=mqtt://127.0.0.1:1883',
  ];
  static override args = {
    file: Args.string({ description: 'Routes file (YAML).', default: 'routes.yaml' }),
  };
  static override flags = { set: setFlag };
  static override result = listedRoutesSchema;

  async run() {
    const { args, flags } = await this.input(StreamRouteList);
    const listed = await listRoutes(args.file, { set: variablesOf(flags.set) });
    this.print(listedRoutesText(listed));
    this.suggest(
      next(`aiot stream route test ${shellWord(args.file)}`, `aiot stream route run ${shellWord(args.file)}`),
    );
    return listed;
  }
}
