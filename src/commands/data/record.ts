import { join } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { recordingsTable } from '../../lib/cli/render/data.js';
import { next, shownPath } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { loadProject } from '../../lib/core/project.js';
import { recordResultSchema, recordStream } from '../../lib/data/sources/record.js';
import { credentialsFrom } from '../../lib/stream/credentials.js';

export default class DataRecord extends AiotCommand {
  static override summary = 'Record a live stream, with one recording per device.';
  static override description =
    "Stops after --for or --count, or on Ctrl-C; everything received by then is saved. Without a URL, records the project's stream on the current platform.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --label walking --for 60s',
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1/aiot/v1/+/telemetry/motion' --label walking --count 6000",
  ];
  static override args = {
    url: Args.string({
      description: "Stream URL, as in aiot stream tail [default: the project's stream].",
    }),
  };
  static override flags = {
    project: shared.project,
    label: Flags.string({ char: 'l', summary: 'Label for the recordings.', env: 'AIOT_LABEL' }),
    for: duration({ summary: 'Stop after this time, such as 30s.', env: 'AIOT_FOR' }),
    count: Flags.integer({
      char: 'n',
      min: 1,
      summary: 'Stop after this many samples.',
      env: 'AIOT_COUNT',
      helpValue: 'N',
    }),
    context: shared.context,
    ca: shared.ca,
    cert: shared.cert,
    key: shared.key,
  };
  static override result = recordResultSchema;

  async run() {
    const input = await this.input(DataRecord);
    const { args, flags } = input;
    const at = again(input, 'project');
    const result = await recordStream({
      project: await loadProject(flags.project),
      url: args.url,
      stream: { ...(await credentialsFrom(flags)), context: flags.context },
      label: flags.label,
      forMs: flags.for,
      count: flags.count,
      signal: this.signal,
      onOpen: (endpoint, address) =>
        this.note(`Recording from ${endpoint} (${address}). Press Ctrl-C to stop.`),
    });
    this.print(recordingsTable(result.recordings));
    this.print(`Saved in ${shownPath(join(result.folder, 'recordings'))}`);
    for (const [count, what] of [
      [result.ignored, 'from other streams'],
      [result.duplicates, 'received more than once; their samples are counted once'],
    ] as const) {
      if (count > 0) this.print(`${plural(count, 'message')} ${what}`);
    }
    this.suggest(next(`aiot data list${at}`, `aiot data check${at}`));
    return result;
  }
}
