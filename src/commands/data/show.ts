import { Args } from '@oclif/core';
import * as z from 'zod';
import { recordingShownSchema } from '../../lib/api/contract/data.js';
import { parseRecordingPlace, type RecordingPlace } from '../../lib/api/datasets/place.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { PlatformCommand, type PlatformInput } from '../../lib/cli/platform-command.js';
import { recordingText } from '../../lib/cli/render/data.js';
import { storedRecordingText } from '../../lib/cli/render/datasets.js';
import { next } from '../../lib/cli/render/text.js';
import { loadProject } from '../../lib/core/project.js';
import { recordingDetailSchema, showRecording } from '../../lib/data/dataset/summary.js';

export default class DataShow extends PlatformCommand {
  static override summary = 'Show statistics of one recording.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> walking1',
    '<%= config.bin %> <%= command.id %> motion/waist-1/walking1',
  ];
  static override args = {
    recording: Args.string({
      required: true,
      description: 'Name of a recording in the project; on the platform: STREAM/DEVICE/RECORDING.',
    }),
  };
  static override flags = { project: shared.project, data: shared.data, context: shared.context };
  static override result = z.union([recordingDetailSchema, recordingShownSchema]);

  async run() {
    const input = await this.input(DataShow);
    const { args, flags } = input;
    const place = parseRecordingPlace(args.recording);
    if (place) return this.stored(input, place);
    const shown = await showRecording(await loadProject(flags.project), args.recording, flags.data);
    this.print(recordingText(shown));
    this.suggest(next(`aiot data check${again(input, 'project', 'data')}`));
    return shown;
  }

  private stored(input: PlatformInput, place: RecordingPlace) {
    const { stream, device, recording } = place;
    return this.ask(
      input,
      ({ datasets }) => datasets.show(stream, device, recording),
      storedRecordingText,
      () => [`aiot data label ${stream}/${device}/${recording} LABEL`],
    );
  }
}
