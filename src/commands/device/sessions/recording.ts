import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { savedRecordingSchema } from '../../../lib/api/contract/devices.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { savedRecordingText } from '../../../lib/cli/render/fleet.js';
import { writeFileAtomic } from '../../../lib/core/files.js';

export default class DeviceSessionsRecording extends PlatformCommand {
  static override summary = 'Save the recording of a shell.';
  static override description =
    'Shells are recorded if the platform runs with --record-shells. The file is in the asciicast format, which asciinema plays. For a shell with a terminal, it has the output, which includes typed commands but not hidden passwords. Without a terminal, it also has the commands from stdin. The audit log has its SHA-256.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> 3f0c6c62-6d4e-4a11-9c55-0d9c6ad2f0b1',
    '<%= config.bin %> <%= command.id %> 3f0c6c62-6d4e-4a11-9c55-0d9c6ad2f0b1 --out shell.cast --json',
  ];
  static override args = {
    id: Args.string({
      required: true,
      description: 'ID of the session, from aiot device sessions list or aiot audit list.',
    }),
  };
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary: 'File to write [default: ID.cast].',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    context: shared.context,
  };
  static override result = savedRecordingSchema;

  async run() {
    const input = await this.input(DeviceSessionsRecording);
    const file = resolve(input.flags.out ?? `${input.args.id}.cast`);
    return this.ask(
      input,
      async ({ remoteSessions }) => {
        const { cast, ...recording } = await remoteSessions.recording(input.args.id);
        await writeFileAtomic(file, cast, 0o600);
        return { ...recording, file };
      },
      savedRecordingText,
      () => [],
    );
  }
}
