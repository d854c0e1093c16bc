import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { boardSecurityText } from '../../lib/cli/render/board.js';
import { boardSecurity, boardSecuritySchema, securityProfiles } from '../../lib/flash/security.js';

export default class BoardSecurity extends AiotCommand {
  static override summary = "Show a board's security fuses and check them.";
  static override description =
    "Reads secure boot, flash encryption, JTAG, download mode and key blocks from the eFuses; nothing is written. With --profile, each setting is checked, and the command exits with 6 if any setting does not match the profile. In secure download mode, fuses cannot be read; the ROM's report contains only part of the state.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> --profile production',
    '<%= config.bin %> <%= command.id %> --port simulated:esp32s3 --json',
  ];
  static override flags = {
    port: shared.port,
    profile: Flags.option({ options: securityProfiles })({
      summary: 'Check the fuses: development = unlocked, production = locked.',
      env: 'AIOT_PROFILE',
      helpValue: 'PROFILE',
    }),
    ...flashFlags,
  };
  static override result = boardSecuritySchema;

  async run() {
    const { flags } = await this.input(BoardSecurity);
    const security = await boardSecurity({
      port: flags.port,
      profile: flags.profile,
      loader: boardLoader(flags, this.signal, this.steps({ keep: false, lines: false })),
    });
    this.print(boardSecurityText(security));
    if (security.checks.some(({ ok }) => ok !== true)) this.exitsWith(6);
    return security;
  }
}
