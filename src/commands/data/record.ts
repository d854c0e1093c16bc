import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { recordingsTable } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { loadProject } from '../../lib/core/project.js';
import { recordResultSchema, recordStream } from '../../lib/data/sources/record.js';
import { credentialsFrom } from '../../lib/stream/credentials.js';

export default class DataRecord extends AiotCommand {
  static override summary = 'Record a live stream into the project: one recording a device.';
  static override description =
    'Ends after --for or --count, or by Ctrl-C; what came until then is kept. Without a URL it listens to the project’s stream on the platform in use.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --label walking --for 60s',
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1/aiot/v1/+/telemetry/motion' --label walking --count 6000",
  ];
  static override args = {
    url: Args.string({ description: 'Where the messages are, as in aiot stream tail.' }),
  };
  static override flags = {
    project: shared.project,
    label: Flags.string({ char: 'l', summary: 'What is being recorded.', env: 'AIOT_LABEL' }),
    for: duration({ summary: 'End after this time, such as 30s.', env: 'AIOT_FOR' }),
    count: Flags.integer({ char: 'n', min: 1, summary: 'End after so many samples.', env: 'AIOT_COUNT' }),
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
      onOpen: (endpoint) => this.note(`recording from ${endpoint}, Ctrl-C ends it`),
    });
    this.print(recordingsTable(result.recordings));
    for (const [count, what] of [
      [result.ignored, 'not of this stream'],
      [result.duplicates, 'there already: their samples count once'],
    ] as const) {
      if (count > 0) this.print(`${plural(count, 'message')} ${what}`);
    }
    this.print(next(`aiot data list${at}`, `aiot data check${at}`));
    return result;
  }
}
