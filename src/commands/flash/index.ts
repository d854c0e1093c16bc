import { Args, Flags } from '@oclif/core';
import { flash } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { flashFlags, loaderOptions, lockFlags, writeFlags } from '../../lib/cli/flags/boards.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { boardRows } from '../../lib/cli/live/board-rows.js';
import { lockAsked } from '../../lib/cli/lock.js';
import { flashExit, flashedText, flashNext } from '../../lib/cli/render/board.js';
import { drawsOver } from '../../lib/cli/render/text.js';
import { reportFile, reportFlags } from '../../lib/cli/report.js';
import { flashResultSchema } from '../../lib/flash/write/result.js';

export default class Flash extends AiotCommand {
  static override summary = "Write images, an identity or an update to a chip's flash.";
  static override description =
    "Before anything is written, aiot rejects images that would leave the board unable to boot. It rejects, for example, an image for another chip, and one that extends past the end of the flash or of its partition. It also rejects an app at the bootloader's offset, and a bootloader for a locked chip. Unchanged regions are skipped; the others are compressed, written and verified. OFFSET is a number (0x10000, 64K) or a partition label. With --project, aiot finds the bootloader, partition table and app built in a firmware folder. If --port is the drive of a board's UF2 bootloader (RP2040, RP2350, nRF52840, SAMD and others), copies a UF2 file to it and waits until the board restarts. --nvs-key counts only on the command line: AIOT_NVS_KEY burns no key. For a complete example, run aiot docs flash.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> app.bin@0x10000 table.bin@0x8000 --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> --project ./firmware --device ./motor-1 --verify',
    '<%= config.bin %> <%= command.id %> merged.bin@0x0 --all --jobs 8 --record boards.csv --report boards.html',
    '<%= config.bin %> <%= command.id %> app.bin@0x10000 --diff-with old.bin --port socket://127.0.0.1:5555',
    '<%= config.bin %> <%= command.id %> zephyr.uf2 --port /media/ada/RPI-RP2',
    '<%= config.bin %> <%= command.id %> --slot next --firmware motor@3 --watch --healthy "connected"',
  ];
  static override strict = false;
  static override args = {
    images: Args.string({
      description: 'Any number of FILE@OFFSET, such as app.bin@0x10000. HEX and UF2 files need no offset.',
    }),
  };
  static override flags = {
    project: Flags.string({
      char: 'p',
      summary: 'Firmware folder: one built by aiot firmware build, ESP-IDF, PlatformIO or Arduino.',
      env: 'AIOT_PROJECT',
      helpValue: 'FIRMWARE_DIR',
    }),
    ...writeFlags,
    profile: Flags.option({ options: ['production'] as const })({
      summary: 'Lock the board after writing signed images; see aiot board lock.',
      env: 'AIOT_PROFILE',
      helpGroup: 'LOCKING',
    }),
    ...lockFlags,
    ...flashFlags,
    port: Flags.string({
      summary:
        'Serial port, socket://HOST:PORT, rfc2217://HOST:PORT, simulated:CHIP or the drive of a UF2 bootloader; several boards are written in parallel [default: the only board].',
      env: 'AIOT_PORT',
      helpValue: 'PORT',
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
    }),
    timeout: duration({
      summary: 'How long --watch observes the board, such as 30s.',
      env: 'AIOT_TIMEOUT',
      default: 10_000,
    }),
    ...reportFlags,
    context: shared.context,
    'dry-run': shared['dry-run'],
  };
  static override result = flashResultSchema;

  async run() {
    const input = await this.input(Flash);
    const { flags, words, given } = input;
    const report = await reportFile(flags, 'production');
    const rows = boardRows(this.steps({ keep: process.stdout.isTTY !== true }), {
      tty: drawsOver(process.stderr) && !this.jsonEnabled(),
      quiet: this.quiet || this.jsonEnabled(),
      event: (row) => this.event(row),
    });
    const result = await flash({
      ...{ ...flags, report },
      images: words,
      project: given('project') ? flags.project : null,
      ports: flags.port ?? [],
      loader: loaderOptions(flags, this.signal),
      header: { mode: flags['flash-mode'], size: flags['flash-size'], frequency: flags['flash-freq'] },
      watch: flags.watch ? { timeoutMs: flags.timeout, pattern: flags.healthy ?? null } : null,
      diffWith: flags['diff-with'] ?? [],
      lock: lockAsked(input, this.signal, (text) => this.note(text)),
      dryRun: flags['dry-run'],
      signal: this.signal,
      onProgress: (progress) => {
        if (progress.task === 'flash') rows(progress.board);
        else if (this.jsonEnabled()) this.event({ ask: progress.step });
        else this.note(`→ ${progress.step}`);
      },
    });
    this.print(flashedText(result));
    await this.showReport(report, flags);
    const { code, error } = flashExit(result);
    if (error && !this.jsonEnabled()) throw error;
    if (code !== 0) this.exitsWith(code);
    this.suggest(flashNext(result));
    return result;
  }
}
