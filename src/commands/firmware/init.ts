import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { facts, next } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { shellWord } from '../../lib/core/text.js';
import { firmwareInitSchema, initFirmware } from '../../lib/project/firmware/init.js';

export default class FirmwareInit extends AiotCommand {
  static override summary =
    'Make a folder for a project’s own firmware: the sources, and what follows from aiot.yaml.';
  static override description =
    'The portable core, what each board needs around it, and its tests are copied: from then on they are yours. Made from aiot.yaml are generated/aiot_config.h, generated/aiot_tables.h and the partition table: aiot firmware build and test make them anew when it has changed. A folder that has something in it is refused; --force makes the generated files of one that was made already anew, and touches nothing else.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> board --project pump --json',
    '<%= config.bin %> <%= command.id %> board --project pump --force',
  ];
  static override args = {
    dir: Args.string({ default: 'firmware', description: 'Folder to make; it must be new or empty.' }),
  };
  static override flags = {
    project: shared.project,
    force: Flags.boolean({
      summary: 'In a folder that was made already: make the generated files anew.',
      env: 'AIOT_FORCE',
    }),
  };
  static override result = firmwareInitSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareInit);
    const made = await initFirmware({ dir: args.dir, project: flags.project, force: flags.force });
    this.print(
      facts([
        ['Firmware', `of ${made.name}`],
        ['Folder', made.dir],
        ['Copied', made.copied === 0 ? 'nothing: the sources are yours' : plural(made.copied, 'file')],
        ['Generated', made.generated.join(', ') || 'nothing: all is as aiot.yaml says'],
      ]),
    );
    for (const note of made.notes) this.caution(note);
    const dir = args.dir === 'firmware' ? '' : ` ${shellWord(args.dir)}`;
    this.print(next(`aiot firmware build${dir}`, `aiot firmware test${dir}`));
    return made;
  }
}
