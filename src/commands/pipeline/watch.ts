import { AiotCommand } from '../../lib/cli/command.js';
import { stepsFlags } from '../../lib/cli/flags/projects.js';
import { watchEventText } from '../../lib/cli/render/pipeline.js';
import { watchEventSchema } from '../../lib/pipeline/watch/watch.js';
import { watchPipeline } from '../../lib/pipeline/watch/watch-pipeline.js';

export default class PipelineWatch extends AiotCommand {
  static override summary =
    'Run the pipeline whenever pipeline.on of aiot.yaml asks for it, until it is ended.';
  static override description =
    'New rows, time, drift, cron, control messages on MQTT or Kafka, a webhook. One run at a time; what asks during a run makes one more. After failures it waits longer and longer. Under --json each event is a line.';
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
      onStart: (watched) => this.note(`Watches: ${watched.join('; ')}. Ctrl-C ends it.`),
      onEvent: (event) => this.item(event, () => watchEventText(event)),
    });
    return undefined;
  }
}
