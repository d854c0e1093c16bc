import { Flags } from '@oclif/core';
import * as z from 'zod';
import { readHistory } from '../../lib/api/change-devices.js';
import {
  bucketNames,
  latencyHistorySchema,
  predictionHistorySchema,
  presenceHistorySchema,
  usualRangeMs,
} from '../../lib/api/contract/history.js';
import { historyQueryOf, selectorTexts } from '../../lib/cli/flags/fleet.js';
import { pastTime, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { historyText } from '../../lib/cli/render/history.js';

export default class FleetHistory extends PlatformCommand {
  static override summary = 'Show presence, predictions or latency over time.';
  static override description =
    'Charts all devices together, or those of --selector: how many were online, how many predictions of each class arrived, or how long predictions took. The platform keeps 31 days, in wider buckets the older they are. A time when the platform did not run is a gap, not zero.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --show predictions --selector site=lab --since 7d',
    '<%= config.bin %> <%= command.id %> --show latency --model watch@2 --since 1h --json',
  ];
  static override flags = {
    show: Flags.option({
      summary: 'Devices online, predictions by class, or latency of predictions.',
      options: ['presence', 'predictions', 'latency'] as const,
      default: 'presence' as const,
      env: 'AIOT_SHOW',
    })(),
    selector: Flags.string(selectorTexts),
    since: pastTime({
      summary: 'Beginning: an age such as 7d, or a time such as 2026-11-20T10:36:38Z.',
      default: { ageMs: usualRangeMs },
      env: 'AIOT_SINCE',
    }),
    until: pastTime({ summary: 'End: an age such as 30m, or a time.', env: 'AIOT_UNTIL' }),
    bucket: Flags.option({
      summary: 'Width of the buckets [default: the narrowest that is kept].',
      options: bucketNames,
      env: 'AIOT_BUCKET',
    })(),
    model: Flags.string({
      summary: 'Only predictions of this model, such as watch or watch@2.',
      env: 'AIOT_MODEL',
      helpValue: 'NAME[@VERSION]',
    }),
    context: shared.context,
  };
  static override result = z.union([presenceHistorySchema, predictionHistorySchema, latencyHistorySchema]);

  async run() {
    const input = await this.input(FleetHistory);
    const { show } = input.flags;
    const query = historyQueryOf(input.flags);
    return this.ask(
      input,
      (client) => readHistory(client, show, query),
      historyText,
      () => (show === 'presence' ? ['aiot fleet history --show predictions'] : ['aiot device list']),
    );
  }
}
