import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../../lib/cli/flags/brokers.js';
import { setFlag, variablesOf } from '../../../lib/cli/flags/shared.js';
import { watchFlags, watchOptions } from '../../../lib/cli/flags/streams.js';
import { routesEndText, unreachableText } from '../../../lib/cli/render/streams.js';
import { dim } from '../../../lib/cli/render/text.js';
import { plural } from '../../../lib/core/figures.js';
import { loadRoutes } from '../../../lib/stream/route/load.js';
import { routesEndSchema } from '../../../lib/stream/route/types.js';
import { runWatched } from '../../../lib/stream/route/watch.js';

export default class StreamRouteRun extends AiotCommand {
  static override summary = 'Run routes until Ctrl-C or until their sources end.';
  static override description =
    "A message is acknowledged at its source only once every destination has stored it. If a route cannot process a message, the route stops, unless it has onError. For the file's format, run aiot docs routes-yaml.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> routes.yaml',
    '<%= config.bin %> <%= command.id %> routes.yaml --only to-kafka --set MQTT=192.168.1.5:1883 --status 9100',
  ];
  static override args = { file: Args.string({ required: true, description: 'Routes file (YAML).' }) };
  static override flags = {
    only: Flags.string({
      summary: 'Run only this route.',
      env: 'AIOT_ONLY',
      helpValue: 'NAME',
      multiple: true,
    }),
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
        this.note(
          dim(`${plural(flags.only?.length ?? routes.length, 'route')} running. Press Ctrl-C to stop.`),
        ),
      onLine: (text) => this.note(text),
      onUnreachable: (endpoints) => this.note(unreachableText(endpoints)),
    });
    this.print(routesEndText(end));
    return end;
  }
}
