import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { bridgeFlags, bridgeOptions, watchFlags, watchOptions } from '../../lib/cli/flags/streams.js';
import { installedText, routesEndText, unreachableText } from '../../lib/cli/render/streams.js';
import { dim, next } from '../../lib/cli/render/text.js';
import { bridgeRoute, installedSchema, installService } from '../../lib/stream/route/bridge.js';
import { routesEndSchema } from '../../lib/stream/route/types.js';
import { runWatched } from '../../lib/stream/route/watch.js';

export default class StreamBridge extends AiotCommand {
  static override summary = 'Bridge two streams: at least once and in order.';
  static override description =
    'A message is acknowledged at FROM only once TO has stored it. On Ctrl-C or SIGTERM, messages that were read are written before the bridge stops. To receive messages sent while the bridge is not running, FROM needs a session or a group: mqtt://…?clientId=NAME&clean=false, kafka://…?group=NAME, nats://…?stream=STREAM&durable=NAME.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1:1883/sensors/#?qos=1&clientId=b1&clean=false' kafka://127.0.0.1:9092/sensors",
    "<%= config.bin %> <%= command.id %> kafka://127.0.0.1/readings 'file:readings.csv' --where 'temperature > 80'",
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1/a?clientId=b1&clean=false' kafka://127.0.0.1/a --install",
  ];
  static override args = {
    from: Args.string({ required: true, description: 'Source address.' }),
    to: Args.string({ required: true, description: 'Destination address.' }),
  };
  static override flags = {
    ...bridgeFlags,
    ...watchFlags,
    install: Flags.boolean({
      summary: 'Install a systemd service for this bridge instead of running it.',
      env: 'AIOT_INSTALL',
    }),
    system: Flags.boolean({
      summary: 'With --install: a system service instead of a user service.',
      env: 'AIOT_SYSTEM',
      dependsOn: ['install'],
    }),
    'dry-run': {
      ...shared['dry-run'],
      dependsOn: ['install'],
      summary: 'With --install: show the service without writing it.',
    },
    ...brokerFlags,
  };
  static override result = z.union([routesEndSchema, installedSchema]);

  async run() {
    const { args, flags } = await this.input(StreamBridge);
    const route = bridgeRoute(bridgeOptions(args, flags));
    if (flags.install) {
      const installed = await installService({
        name: route.name,
        words: [
          'stream',
          'bridge',
          ...this.argv.filter((word) => !/^--(install|system|dry-run|json)$/.test(word)),
        ],
        urls: [...route.from, ...route.to, ...(flags['dead-letter'] ? [flags['dead-letter']] : [])],
        scope: flags.system ? 'system' : 'user',
        dryRun: flags['dry-run'],
      });
      this.print(installedText(installed));
      this.suggest(next(...installed.start));
      return installed;
    }
    const end = await runWatched([route], {
      ...(await brokerOptions(flags)),
      ...watchOptions(flags),
      signal: this.signal,
      onOpen: () => this.note(dim(`Bridging ${route.name}. Press Ctrl-C to stop.`)),
      onLine: (text) => this.note(text),
      onUnreachable: (endpoints) => this.note(unreachableText(endpoints)),
    });
    this.print(routesEndText(end));
    return end;
  }
}
