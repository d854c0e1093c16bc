import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { facts, next, shownPath } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { createLibrary, firmwareLibrarySchema } from '../../lib/project/firmware/library.js';

export default class FirmwareLibrary extends AiotCommand {
  static override summary = 'Write the portable core as a library.';
  static override description =
    'Creates one folder that is an ESP-IDF component, a PlatformIO library and an Arduino library, for your own firmware. Its example connects, sends telemetry, installs updates and runs models. You write the board-specific functions; the example contains those for a Linux machine.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> components/aiot --json',
    "<%= config.bin %> <%= command.id %> --name plant-aiot --author 'Plant Ltd <firmware@plant.example>' --url https://plant.example/firmware",
  ];
  static override args = {
    dir: Args.string({ default: 'aiot-library', description: 'Folder to create.' }),
  };
  static override flags = {
    name: Flags.string({ summary: 'Name in the manifests.', env: 'AIOT_NAME', default: 'aiot' }),
    author: Flags.string({ summary: 'Maintainer: Name <address>.', env: 'AIOT_AUTHOR' }),
    url: Flags.string({ summary: "URL of the library's page.", env: 'AIOT_URL' }),
  };
  static override result = firmwareLibrarySchema;

  async run() {
    const { args, flags } = await this.input(FirmwareLibrary);
    const { name, author, url } = flags;
    const made = await createLibrary({ dir: args.dir, name, author, url });
    const folder = shownPath(made.dir);
    this.print(
      facts([
        ['Library', `${made.name} ${made.version}`],
        ['Folder', folder],
        ['Contents', `${made.sources} C sources, ${made.headers} headers`],
        ['Manifests', made.manifests.join(', ')],
      ]),
    );
    for (const note of made.notes) this.caution(note);
    this.suggest(next(`cmake -S ${shellWord(`${folder}/extras/host`)} -B build && cmake --build build`));
    return made;
  }
}
