import { join } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { firmwareProfile } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { facts, next, shownPath } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { shellWord } from '../../lib/core/text.js';
import { firmwareInitSchema, initFirmware } from '../../lib/project/firmware/init.js';

export default class FirmwareInit extends AiotCommand {
  static override summary = 'Create a firmware folder for a project.';
  static override description =
    'Copies the portable core, the code for each board, and tests. You own and edit these files. Also generates generated/aiot_config.h, generated/aiot_tables.h and the partition table from aiot.yaml; aiot firmware build and aiot firmware test regenerate them when aiot.yaml changes. Without --force, the folder must be new or empty. With --force, only the generated files of an existing firmware folder are rewritten.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> board --project pump --json',
    '<%= config.bin %> <%= command.id %> board --project pump --force',
  ];
  static override args = {
    dir: Args.string({ description: "Folder to create [default: firmware in the project's folder]." }),
  };
  static override flags = {
    project: shared.project,
    force: Flags.boolean({
      summary: 'Rewrite only the generated files of an existing firmware folder.',
      env: 'AIOT_FORCE',
    }),
    profile: firmwareProfile,
  };
  static override result = firmwareInitSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareInit);
    const folder = args.dir ?? join(flags.project, 'firmware');
    const made = await initFirmware({
      dir: folder,
      project: flags.project,
      force: flags.force,
      profiles: flags.profile,
    });
    this.print(
      facts([
        ['Firmware', `for ${made.name}`],
        ['Folder', shownPath(made.dir)],
        ['Sensor', made.sensor ?? 'none that fits the stream'],
        ['Copied', made.copied === 0 ? 'nothing: you own the sources' : plural(made.copied, 'file')],
        ['Generated', made.generated.join(', ') || 'nothing: all files match aiot.yaml'],
      ]),
    );
    for (const note of made.notes) this.caution(note);
    this.print(
      'To build for a board, name its chip, such as esp32s3. Without --target, the program is for this machine.',
    );
    const shown = shownPath(made.dir);
    const dir = shown === 'firmware' ? '' : ` ${shellWord(shown)}`;
    this.suggest(
      next(
        `aiot firmware build${dir} --target CHIP`,
        `aiot firmware build${dir}`,
        `aiot firmware test${dir}`,
      ),
    );
    return made;
  }
}
