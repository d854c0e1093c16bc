import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags, lockFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { lockConfirmation, nvsKeyToBurn, partsOf } from '../../lib/cli/lock.js';
import { boardLockedText } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { boardLockedSchema, lockBoard } from '../../lib/flash/lock/lock.js';
import { allLockParts } from '../../lib/flash/lock/plan.js';

export default class BoardLock extends AiotCommand {
  static override summary = 'Plan and burn the fuses that lock a board.';
  static override description =
    "Shows the fuses that lock the board, in order, with the effect of each and the abilities that are lost permanently. Nothing is burned without --yes and the board's MAC. The flash must contain a bootloader and an app that are signed with --boot-key and encrypted with the board's own key, as `aiot flash --profile production` writes them. If the command is interrupted, repeat it. It supports the ESP32-S2, S3, C3, C6 and H2. --nvs-key counts only on the command line: AIOT_NVS_KEY burns no key.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --boot-key secure.pem --encryption-keys board-keys --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> --only jtag --port simulated:esp32s3',
    '<%= config.bin %> <%= command.id %> --only jtag --only download --port /dev/ttyUSB0 --yes --mac 24:0a:c4:00:01:10',
  ];
  static override flags = {
    port: shared.port,
    only: Flags.option({ options: allLockParts })({
      summary: 'Lock only these parts [default: all, nvs-key only with --nvs-key].',
      env: 'AIOT_ONLY',
      helpValue: 'PART',
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
    }),
    ...lockFlags,
    ...flashFlags,
  };
  static override result = boardLockedSchema;

  async run() {
    const { flags, given } = await this.input(BoardLock);
    const nvsKey = nvsKeyToBurn(flags, given);
    const steps = this.steps({ keep: true });
    const locked = await lockBoard({
      port: flags.port,
      parts: partsOf(flags.only, nvsKey),
      bootKeys: flags['boot-key'] ?? [],
      encryptionKeys: flags['encryption-keys'],
      nvsKey,
      confirm: lockConfirmation(flags, this.signal, (text) => this.note(text)),
      onStep: ({ fuse }, done, total) => steps.update({ text: `burning ${fuse}`, done, total }),
      loader: boardLoader(flags, this.signal, steps),
    });
    this.print(boardLockedText(locked));
    if (locked.problem !== null) this.exitsWith(6);
    this.suggest(next(`aiot board security --profile production --port ${shellWord(locked.port)}`));
    return locked;
  }
}
