import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { importedRoutesText } from '../../../lib/cli/render/streams.js';
import { next } from '../../../lib/cli/render/text.js';
import { AiotError } from '../../../lib/core/errors.js';
import { shellWord } from '../../../lib/core/text.js';
import { importedRoutesSchema, importRoutes } from '../../../lib/stream/route/node-red.js';
import { presetNames } from '../../../lib/stream/route/schema.js';

export default class StreamRouteImport extends AiotCommand {
  static override summary = 'Create a routes file from a Node-RED flow or a preset.';
  static override description =
    'Each path from an input to an output becomes a route. Each node that cannot be converted is listed with the reason. Exits with 3 if paths were left out.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> flow.json --out routes.yaml',
    '<%= config.bin %> <%= command.id %> --preset openmqttgateway --from mqtt://192.168.1.5 --to kafka://127.0.0.1/radio --out routes.yaml',
  ];
  static override args = {
    flow: Args.string({ description: 'Flow exported from Node-RED (JSON), instead of --preset.' }),
  };
  static override flags = {
    preset: Flags.option({ options: presetNames })({
      summary: 'Preset with known topics.',
      env: 'AIOT_PRESET',
      dependsOn: ['from', 'to'],
    }),
    from: Flags.string({
      summary: 'With --preset: source address.',
      env: 'AIOT_FROM',
      helpValue: 'URL',
    }),
    to: Flags.string({ summary: 'With --preset: destination address.', env: 'AIOT_TO', helpValue: 'URL' }),
    out: Flags.string({
      char: 'o',
      summary: 'Write the routes to this file.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
  };
  static override result = importedRoutesSchema;

  async run() {
    const { args, flags } = await this.input(StreamRouteImport);
    const { preset, from = '', to = '', out } = flags;
    if ((args.flow === undefined) === (preset === undefined)) {
      throw new AiotError('AIOT_USAGE', 'expected a Node-RED flow file, or --preset');
    }
    const given = args.flow === undefined ? { preset: preset!, from, to } : { flow: args.flow };
    const imported = await importRoutes(out === undefined ? given : { ...given, out });
    this.print(importedRoutesText(imported));
    if (out !== undefined) this.suggest(next(`aiot stream route run ${shellWord(out)}`));
    if (imported.leftOut.some(({ reason }) => reason.includes('left out'))) this.exitsWith(3);
    return imported;
  }
}
