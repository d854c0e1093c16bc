import { AiotCommand } from '../../lib/cli/command.js';
import { stepsFlags } from '../../lib/cli/flags/projects.js';
import { watchEventText } from '../../lib/cli/render/pipeline.js';
import { watchEventSchema } from '../../lib/pipeline/watch/watch.js';
import { watchPipeline } from '../../lib/pipeline/watch/watch-pipeline.js';

export default class PipelineWatch extends AiotCommand {
  static override summary = 'Run the pipeline on the triggers in pipeline.on.';
  static override description =
    'Triggers in aiot.yaml can be new rows, an interval, a cron schedule, drift, control messages on MQTT or Kafka, or a webhook. Only one run is active at a time; triggers during a run cause one more run. After failures, the delay between runs grows. With --json, prints one JSON object per event.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --json',
  ];
  static override flags = stepsFlags;
  static override result = watchEventSchema;

  async run() {
    const { flags } = await this.input(PipelineWatch);
    const { project: dir, ...asked } = flags;
    await watchPipeline({
      ...{ dir, ...asked, signal: this.signal },
      onStart: (watched) => this.note(`Watching ${watched.join('; ')}. Press Ctrl-C to stop.`),
      onEvent: (event) => this.item(event, () => watchEventText(event)),
    });
    return undefined;
  }
}
