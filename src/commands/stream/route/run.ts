import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../../lib/cli/flags/brokers.js';
import { setFlag, variablesOf } from '../../../lib/cli/flags/shared.js';
import { watchFlags, watchOptions } from '../../../lib/cli/flags/streams.js';
import { routesEndText } from '../../../lib/cli/render/streams.js';
import { dim } from '../../../lib/cli/render/style.js';
import { plural } from '../../../lib/core/figures.js';
import { loadRoutes } from '../../../lib/stream/route/load.js';
import { routesEndSchema } from '../../../lib/stream/route/types.js';
import { runWatched } from '../../../lib/stream/route/watch.js';

export default class StreamRouteRun extends AiotCommand {
  static override summary = 'Run the routes of a file, until Ctrl-C or their sources end.';
  static override description =
    'Messages are acknowledged to their source when every sink has them. docs/streams.md describes the file. A message that a route cannot do its work with ends it, unless the route has onError.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> routes.yaml',
    '<%= config.bin %> <%= command.id %> routes.yaml --only to-kafka --set MQTT=192.168.1.5:1883 --status 9100',
  ];
  static override args = { file: Args.string({ required: true, description: 'YAML.' }) };
  static override flags = {
    only: Flags.string({ summary: 'This route alone.', env: 'AIOT_ONLY', helpValue: 'NAME', multiple: true }),
    set: setFlag,
    ...watchFlags,
    ...brokerFlags,
  };
  static override result = routesEndSchema;

  async run() {
    const { args, flags } = await this.input(StreamRouteRun);
    const routes = await loadRoutes(args.file, { set: variablesOf(flags.set) });
    const end = await runWatched(routes, {
      ...(await brokerOptions(flags)),
      ...(flags.only ? { only: flags.only } : {}),
      ...watchOptions(flags),
      signal: this.signal,
      onOpen: () =>
        this.note(dim(`${plural(flags.only?.length ?? routes.length, 'route')} running; Ctrl-C ends it`)),
      onLine: (text) => this.note(text),
    });
    this.print(routesEndText(end));
    return end;
  }
}
