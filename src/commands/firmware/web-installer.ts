import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { firmwareFlags } from '../../lib/cli/flags/boards.js';
import { webInstallerText } from '../../lib/cli/render/firmware.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { createWebInstaller, webInstallerSchema } from '../../lib/flash/images/web-installer.js';

export default class FirmwareWebInstaller extends AiotCommand {
  static override summary = 'Write a web page that installs firmware on boards.';
  static override description =
    'Creates a folder of static files for any web server: a page, a manifest and the images. In Chrome or Edge, the page installs the firmware over Web Serial, shows the log of the board and connects it to Wi-Fi by Improv. It needs no other host. Each --project is a build for another chip, and the page chooses the build for the connected board. ESP Web Tools can read the manifest. An image that contains a private key is rejected, because the folder is public.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --project ./firmware --out installer',
    '<%= config.bin %> <%= command.id %> --project build/esp32s3 --project build/esp32c3 --out installer',
    '<%= config.bin %> <%= command.id %> bootloader.bin@bootloader table.bin@0x8000 app.bin@0x10000 --name Pump --version 1.2.0 --out installer --json',
  ];
  static override strict = false;
  static override args = {
    images: Args.string({
      description: 'Any number of FILE@OFFSET, such as app.bin@0x10000. HEX and UF2 files need no offset.',
    }),
  };
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary: 'Folder to create.',
      env: 'AIOT_OUT',
      helpValue: 'DIR',
      required: true,
    }),
    project: Flags.string({
      char: 'p',
      summary: 'Firmware folder with a build; repeat it for other chips.',
      env: 'AIOT_PROJECT',
      helpValue: 'FIRMWARE_DIR',
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
    }),
    name: Flags.string({
      summary: "Name of the product [default: the app's project].",
      env: 'AIOT_NAME',
    }),
    version: Flags.string({
      summary: "Version of the firmware [default: the app's].",
      env: 'AIOT_VERSION',
      helpValue: 'VERSION',
    }),
    'improv-wait': Flags.integer({
      summary: 'Seconds to wait for Improv after an installation; 0 = do not offer Wi-Fi.',
      env: 'AIOT_IMPROV_WAIT',
      helpValue: 'SECONDS',
      min: 0,
      max: 120,
      default: 10,
    }),
    force: Flags.boolean({
      summary: 'Write the page even if a safety check fails, and list the checks that were overridden.',
      env: 'AIOT_FORCE',
      default: false,
    }),
    ...firmwareFlags,
  };
  static override result = webInstallerSchema;

  async run() {
    const { flags, words, given } = await this.input(FirmwareWebInstaller);
    const made = await createWebInstaller({
      words,
      projects: given('project') ? (flags.project ?? []) : [],
      out: flags.out,
      name: flags.name,
      version: flags.version,
      chip: flags.chip,
      header: { mode: flags['flash-mode'], size: flags['flash-size'], frequency: flags['flash-freq'] },
      improvWaitSeconds: flags['improv-wait'],
      force: flags.force,
    });
    this.print(webInstallerText(made));
    for (const note of made.notes) this.caution(note);
    this.suggest(next(`python3 -m http.server --bind 127.0.0.1 --directory ${shellWord(flags.out)}`));
    return made;
  }
}
