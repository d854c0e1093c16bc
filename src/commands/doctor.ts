import { AiotCommand } from '../lib/cli/command.js';
import { duration } from '../lib/cli/flags/shared.js';
import { dim, green, next, red, yellow } from '../lib/cli/render/text.js';
import { examine } from '../lib/doctor/examine.js';
import { diagnosisSchema, type Finding } from '../lib/doctor/finding.js';

const marks = { ok: () => green('✓'), warn: () => yellow('!'), fail: () => red('✗') };

function line({ check, status, detail, next: step }: Finding, width: number): string {
  const advice = step === null ? '' : `\n  ${' '.repeat(width)}  ${dim('Try:')} ${step}`;
  return `${marks[status]()} ${check.padEnd(width)}  ${detail}${advice}`;
}

export default class Doctor extends AiotCommand {
  static override summary = "Check this machine's setup and show how to fix problems.";
  static override description = 'Changes nothing. Exits with 6 if a check fails; warnings do not count.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = {
    timeout: duration({
      summary: "Time limit for a platform's response.",
      env: 'AIOT_TIMEOUT',
      default: 3000,
      defaultHelp: async () => '3s',
    }),
  };
  static override result = diagnosisSchema;

  async run() {
    const { flags } = await this.input(Doctor);
    const diagnosis = await examine({
      env: process.env,
      ports: { http: 8443, mqtts: 8883 },
      timeoutMs: flags.timeout,
      now: Date.now,
      signal: this.signal,
    });
    const width = Math.max(...diagnosis.checks.map(({ check }) => check.length));
    this.print(diagnosis.checks.map((finding) => line(finding, width)).join('\n'));
    const hasPlatform = diagnosis.checks.some(({ check }) => check.startsWith('context '));
    this.suggest(next(!diagnosis.healthy ? 'aiot doctor' : hasPlatform ? 'aiot status' : 'aiot demo'));
    if (!diagnosis.healthy) this.exitsWith(6);
    return diagnosis;
  }
}
