import { once } from 'node:events';
import { AiotCommand } from '../lib/cli/command.js';
import { upFlags, upOptionsOf } from '../lib/cli/flags/platform.js';
import { again } from '../lib/cli/invocation.js';
import { boundedLog, endUnread } from '../lib/cli/live/bounded-log.js';
import { logText, platformNext, platformText, secretText } from '../lib/cli/render/platform.js';
import { dim, next } from '../lib/cli/render/text.js';
import { keepYoungHeapSmall } from '../lib/core/process.js';
import { upDetached } from '../lib/platform/up/detached.js';
import { logLineOf } from '../lib/platform/up/logs.js';
import { restartOf, type UpResult, upResultSchema } from '../lib/platform/up/options.js';
import { up } from '../lib/platform/up/up.js';
import { upProject } from '../lib/project/up.js';

export default class Up extends AiotCommand {
  static override summary = 'Start a platform: API, MQTT broker and database.';
  static override description =
    "The API (HTTPS), the MQTT broker, the database and the blob store run in one process. The first start creates a CA, an operator token, your signing key and a context. The platform runs until Ctrl-C, or with --detach until aiot down. With --project, the project's routes and the listener for its boards run in the same process.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --detach',
    '<%= config.bin %> <%= command.id %> --data ./platform --http-port 0 --mqtt-port 0 --json',
    '<%= config.bin %> <%= command.id %> --project iot-kit --set MQTT=mqtt://broker:1883 --set KAFKA=kafka://kafka:9092',
  ];
  static override flags = upFlags;
  static override result = upResultSchema;

  async run(): Promise<UpResult | undefined> {
    // V8 never releases the heap space that it reserves while the platform loads, so the young generation is limited from the
    // start.
    keepYoungHeapSmall();
    const input = await this.input(Up);
    const { flags } = input;
    const at = again(input, 'data');
    const options = upOptionsOf(flags);
    const { project } = options;
    const restart = restartOf({ ...options, noToken: false });
    const ports = again(input, 'http-port', 'mqtt-port');
    const detach = flags.detach ? ' --detach' : '';
    const fresh = `${next(platformNext(at, `${ports}${detach}`, restart))}${secretText(restart)}`;
    if (flags.detach) {
      const result = await upDetached(options, this.signal);
      const known = next('aiot status', `aiot down${at}`);
      this.print(`${platformText(result)}\n${result.context === undefined ? fresh : known}`);
      return result;
    }
    const log = boundedLog(process.stderr, (line) => this.logged(line.trimEnd(), flags.log));
    const { result, stop } = project
      ? await upProject({ ...options, ...project, project: project.dir }, log)
      : await up(options, log);
    const after = result.context === undefined ? fresh : '';
    this.item(result, () => `${platformText(result)}\n\n${dim('Press Ctrl-C to stop.')}${after}`);
    if (!this.signal.aborted) await once(this.signal, 'abort');
    await stop();
    endUnread();
    return undefined;
  }

  /** Prints a line of the platform's log: as text on a terminal, as JSON elsewhere or with --json. */
  private logged(line: string, form: 'text' | 'json' | undefined): void {
    const forPeople = (form ?? (process.stderr.isTTY && !this.jsonEnabled() ? 'text' : 'json')) === 'text';
    this.note(forPeople ? logText(logLineOf(line)) : line);
  }
}
